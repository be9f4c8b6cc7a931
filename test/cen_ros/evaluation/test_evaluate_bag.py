# SPDX-License-Identifier: Apache-2.0
"""Evaluation of recorded bags, by the command (cen_ros.evaluate_bag), against slow or other people's arithmetic."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from rosbags import rosbag1
from rosbags.typesys import Stores, get_typestore
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

from cen_model import checkpoint
from cen_model.config import SegmentationConfig
from cen_model.models import build
from cen_model.predictor import Deployment, Predictor
from cen_model.reporting.html import number
from cen_ros import evaluate_bag
from cen_ros.bags.reader import Bag
from cen_ros.bags.topics import Streams
from cen_ros.bags.writer import BagWriter
from cen_ros.evaluation import bag_evaluation as run_module
from cen_ros.evaluation import flicker
from cen_ros.evaluation.camera_poses import Geometry
from cen_ros.evaluation.gallery import SPREAD, WORST, Gallery, Picture
from cen_ros.evaluation.pairing import Pairing
from cen_ros.evaluation.source import Frame, PairingConfig, Source, Truth, prefetched
from cen_ros.evaluation.truth_folder import TruthFolder
from cen_ros.messages.images import array_to_image
from helpers.balanced_groups import GROUPS, write_groups
from helpers.paths import REPOSITORY

IMAGE, INFO, TF = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage"
RGB, DEPTH, TRUTH = "/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw", "/camera/label"
SIZE = (48, 64)
K = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
START = 1_700_000_000_000_000_000
PERIOD = 33_000_000
NETWORK = SegmentationConfig(encoder="resnet18", encoder_width=0.25, decoder="light_refinenet", decoder_width=16)
NAMES = NETWORK.classes


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    checkpoint.save(path, build(NETWORK))
    return path


@pytest.fixture(scope="module")
def predictor(weights):
    return Predictor.load(weights, device="cpu", deployment=Deployment(confidence=True))


def pixels(i, size=SIZE):
    """Color and depth of frame i, smooth enough that labels have areas."""
    rng = np.random.default_rng(i)
    rgb = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((size[0] // 6, size[1] // 8, 1))).astype(np.uint8)
    depth = np.full(size, 2000 + 2 * i, np.uint16)
    depth[:4] = 0
    return rgb, depth


def true_labels(i, classes=13):
    """Truth of frame i, with some pixels unlabeled."""
    rng = np.random.default_rng(1000 + i)
    labels = rng.integers(0, classes, SIZE, dtype=np.uint8)
    labels[rng.random(SIZE) < 0.1] = 255
    return labels


def header(stamp_ns, frame_id="optical"):
    return SimpleNamespace(stamp=SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9), frame_id=frame_id)


def add_image(bag, topic, array, encoding, stamp_ns, late_ns=1_000_000):
    """Write an image, received a little after its stamp; returns the message."""
    message = array_to_image(array, encoding, header(stamp_ns), SimpleNamespace)
    message.data = np.frombuffer(message.data, np.uint8)
    bag.add(topic, IMAGE, message, stamp_ns + late_ns)
    return message


def add_camera(bag, i, stamp_ns, k=K):
    """Camera_info, and a camera that moves 1 cm to the right from frame to frame."""
    roi = SimpleNamespace(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    fields = {"height": SIZE[0], "width": SIZE[1], "distortion_model": "plumb_bob", "binning_x": 0, "binning_y": 0}
    matrices = {"d": np.zeros(5), "k": k.ravel(), "r": np.eye(3).ravel(), "p": np.c_[k, np.zeros(3)].ravel()}
    info = SimpleNamespace(header=header(stamp_ns), roi=roi, **fields, **matrices)
    bag.add("/camera/color/camera_info", INFO, info, stamp_ns)
    transform = SimpleNamespace(
        translation=SimpleNamespace(x=0.01 * i, y=0.0, z=0.0), rotation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
    )
    stamped = SimpleNamespace(header=header(stamp_ns, "map"), child_frame_id="optical", transform=transform)
    bag.add("/tf", TF, SimpleNamespace(transforms=[stamped]), stamp_ns)


def record(path, frames, truth=True, depth_late_ns=0, without=(), poses=False, **options):
    """A bag; `without` has (topic, frame) that are not in it."""
    with BagWriter(path, **options) as bag:
        for i in frames:
            stamp = START + i * PERIOD
            rgb, depth = pixels(i)
            images = [(RGB, rgb, "rgb8", stamp), (DEPTH, depth, "16UC1", stamp + depth_late_ns)]
            if truth:
                images.append((TRUTH, true_labels(i), "mono8", stamp))
            if poses:
                add_camera(bag, i, stamp)
            for image in images:
                if (image[0], i) not in without:
                    add_image(bag, *image)
    return path


def run(output, weights, *arguments):
    """Exit code and report of the command, run in this process."""
    argv = ["--weights", weights, "--device", "cpu", "--output", output, *arguments]
    code = evaluate_bag.main(list(map(str, argv)))
    file = output / "report.json"
    return code, json.loads(file.read_text()) if file.exists() else None


def without_time(report):
    return {key: value for key, value in report.items() if key not in ("timing", "run")}


def test_scores_are_those_of_torchmetrics_on_the_same_frames(tmp_path, weights, predictor):
    bag = record(tmp_path / "drive", range(6))
    code, report = run(tmp_path / "out", weights, bag)
    labels = [predictor.predict(*pixels(i)).labels for i in range(6)]
    said, truth = (torch.from_numpy(np.stack(each)).long() for each in (labels, [true_labels(i) for i in range(6)]))
    options = {"num_classes": len(NAMES), "ignore_index": 255}
    iou = multiclass_jaccard_index(said, truth, average=None, **options)
    assert code == 0
    assert report["frames"] == report["scores"]["frames"] == 6
    assert list(report["scores"]["iou"]) == list(NAMES)
    assert list(report["scores"]["iou"].values()) == pytest.approx(iou.tolist(), abs=1e-6)
    assert report["scores"]["mean_iou"] == pytest.approx(iou.mean().item(), abs=1e-6)
    accuracy = multiclass_accuracy(said, truth, average="micro", **options).item()
    assert report["scores"]["pixel_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert report["streams"]["rgb"] == RGB and report["streams"]["truth"] == TRUTH
    assert report["series"]["stamp_ns"] == [START + i * PERIOD for i in range(6)]

    changed = [(now != before).mean() for before, now in pairwise(labels)]
    assert report["series"]["plain"] == [None, *map(pytest.approx, changed)]
    assert report["flicker"]["plain"]["share"] == pytest.approx(np.mean(changed))
    assert report["flicker"]["warped"]["share"] is None
    assert report["flicker"]["why_not_warped"] == "the bag has no /tf"


def as_ros1(path, bag):
    """The same messages in a .bag of ROS 1."""
    ros2, ros1 = get_typestore(Stores.ROS2_JAZZY), get_typestore(Stores.ROS1_NOETIC)
    with Bag(bag) as source, rosbag1.Writer(path) as writer:
        topics = source.topics.values()
        connections = {each.name: writer.add_connection(each.name, each.type, typestore=ros1) for each in topics}
        for each in source.messages(list(source.topics)):
            fields = ros2.deserialize_cdr(each.raw, each.type)
            fields.header = ros1.types["std_msgs/msg/Header"](0, fields.header.stamp, fields.header.frame_id)
            writer.write(connections[each.topic], each.receive_ns, ros1.serialize_ros1(fields, each.type))
    return path


def test_groups_are_scored_against_truth_of_classes_and_of_groups(tmp_path, weights):
    """A label that is void is wrong wherever the truth is not void."""
    groups = write_groups(tmp_path)
    labels = Predictor.load(weights, device="cpu", label_groups=groups).predict(*pixels(0)).labels
    place = {name: number for number, names in enumerate(GROUPS.values()) for name in names}
    truth = np.array([*(place.get(name, 255) for name in NAMES), *[255] * 243], np.uint8)[true_labels(0)]
    expected = np.zeros((2, 3), np.int64)
    np.add.at(expected, (truth[truth < 255], np.minimum(labels, 2)[truth < 255]), 1)
    assert expected.all()

    def scored(name, truth, *options):
        with BagWriter(tmp_path / name) as bag:
            add_image(bag, RGB, pixels(0)[0], "rgb8", START)
            add_image(bag, DEPTH, pixels(0)[1], "16UC1", START)
            add_image(bag, TRUTH, truth, "mono8", START)
        return run(tmp_path / name / "out", weights, tmp_path / name, "--label_groups", groups, *options)[1]

    report = scored("classes", true_labels(0))
    assert (report["scores"]["confusion"], report["run"]["label_groups"]) == (expected.tolist(), str(groups))
    assert report["run"]["classes"] == list(report["scores"]["iou"]) == list(GROUPS)
    assert scored("groups", truth, "--truth-of", "groups")["scores"] == report["scores"]
    assert "has label 39, but the groups are of 13 classes (0 to 12" in scored("forty", true_labels(0, 40))["error"]


def test_every_kind_of_bag_gives_the_same_report(tmp_path, weights):
    kinds = {"sqlite3": {}, "mcap": {"storage": "mcap"}, "zstd": {"compression": "zstd"}}
    bags = {kind: record(tmp_path / kind, range(3), **options) for kind, options in kinds.items()}
    bags["ros1"] = as_ros1(tmp_path / "drive.bag", bags["mcap"])
    reports = {kind: run(tmp_path / "out" / kind, weights, bag)[1] for kind, bag in bags.items()}
    for report in reports.values():
        del report["timing"], report["run"], report["bag"]
    assert reports["sqlite3"]["scores"]["frames"] == 3
    assert all(report == reports["sqlite3"] for report in reports.values())


def test_the_same_bag_gives_the_same_report(tmp_path, weights):
    bag = record(tmp_path / "drive", range(4))
    first, second = (run(tmp_path / "out", weights, bag)[1] for _ in range(2))
    assert first.pop("timing").keys() == second.pop("timing").keys()
    assert json.dumps(first) == json.dumps(second)


def test_labels_are_warped_by_transforms_and_camera_info(tmp_path, weights, predictor):
    bag = record(tmp_path / "drive", range(4), truth=False, poses=True)
    code, report = run(tmp_path / "out", weights, bag)
    views = []
    for i in range(4):
        pose = np.eye(4)
        pose[0, 3] = 0.01 * i
        views.append(flicker.View(predictor.predict(*pixels(i)).labels, pixels(i)[1], K, pose))
    changes = [flicker.warped(before, now) for before, now in pairwise(views)]
    expected = {name: sum(getattr(each, name) for each in changes) for name in flicker.Change._fields}
    assert code == 0
    assert {name: report["flicker"]["warped"][name] for name in expected} == expected
    assert 0.8 < report["flicker"]["warped"]["coverage"] < 1
    assert report["flicker"]["why_not_warped"] is None
    assert report["scores"] is None


def test_pairs_are_counted_and_their_offset_is_measured(tmp_path, weights):
    missing = {(RGB, 3), (DEPTH, 6), (TRUTH, 8)}
    bag = record(tmp_path / "drive", range(10), depth_late_ns=4_000_000, without=missing)
    _, report = run(tmp_path / "out", weights, bag, "--slop", "0.01")
    pairing = report["pairing"]
    assert pairing["messages"] == {"rgb": 9, "depth": 9, "truth": 9}
    assert (pairing["pairs"], pairing["unpaired"]) == (8, {"rgb": 1, "depth": 1})
    assert pairing["difference_ms"] == {"signed_median": 4.0, "median": 4.0, "p95": 4.0, "max": 4.0}
    assert sum(pairing["histogram"]["counts"]) == 8
    assert pairing["offset_ms"] == 4.0
    assert pairing["truth"]["equal_stamp"] == 8 and pairing["truth"]["without_image"] == 1
    assert report["frames"] == 8 and report["scores"]["frames"] == 7
    assert report["series"]["iou"][-2] is None and report["series"]["iou"][-1] is not None


def test_an_offset_between_the_clocks_is_named_and_can_be_taken_out(tmp_path, weights, capsys):
    bag = record(tmp_path / "drive", range(5), depth_late_ns=-12_000_000)
    code, report = run(tmp_path / "out", weights, bag, "--slop", "0.005")
    assert code == 1
    assert "no pair: 5 images on /camera/color/image_raw" in report["error"]
    suggested = re.search(r"--stamp-offset (\S+),", report["error"])[1]
    assert suggested == "0.012" and suggested in capsys.readouterr().out
    code, report = run(tmp_path / "out", weights, bag, "--slop", "0.005", "--stamp-offset", suggested)
    assert (code, report["frames"]) == (0, 5)
    assert report["pairing"]["difference_ms"]["signed_median"] == -12.0


def record_late(path, topic, delay_ns, frames=50, period=16_666_667, late_frames=None):
    """A bag, of 60 Hz, in which the images of one topic, or its first ones alone, are recorded after the others."""
    images = []
    for i in range(frames):
        stamp = START + i * period
        rgb, depth = pixels(i)
        for each in ((RGB, rgb, "rgb8"), (DEPTH, depth, "16UC1"), (TRUTH, true_labels(i), "mono8")):
            late = each[0] == topic
            if not late or late_frames is None or i < late_frames:
                images.append((stamp + delay_ns * late, *each, stamp))
    with BagWriter(path) as bag:
        for received, *image, stamp in sorted(images, key=lambda image: image[0]):
            add_image(bag, *image, stamp, received - stamp)
    return path


@pytest.mark.parametrize("topic", [RGB, DEPTH, TRUTH])
def test_a_topic_that_was_recorded_late_meets_its_partners(tmp_path, weights, topic):
    bag = record_late(tmp_path / "drive", topic, 700_000_000)
    _, report = run(tmp_path / "out", weights, bag, "--slop", "0.005")
    assert (report["frames"], report["scores"]["frames"]) == (50, 50)
    assert report["pairing"]["truth"]["equal_stamp"] == 50


@pytest.mark.parametrize(("topic", "told"), [(RGB, "color arrives 3"), (DEPTH, "depth arrives 3")])
def test_a_topic_that_was_recorded_too_late_is_told(tmp_path, weights, capsys, topic, told):
    """Its first ten images alone: of the other topic those of that time are dropped by then."""
    bag = record_late(tmp_path / "drive", topic, 3_050_000_000, frames=45, period=100_000_000, late_frames=10)
    code, report = run(tmp_path / "out", weights, bag, "--slop", "0.005", "--truth", "none")
    assert code == 1 and f"{told}000 ms after" in report["error"], "3050 ms, to one image"
    assert "stamp-offset" not in report["error"] and report["error"] in capsys.readouterr().out


def test_one_pair_of_n_meets_its_own_truth(tmp_path, weights):
    bag = record(tmp_path / "drive", range(7))
    _, report = run(tmp_path / "out", weights, bag, "--every", "3")
    assert report["series"]["stamp_ns"] == [START + i * PERIOD for i in (0, 3, 6)]
    assert (report["pairing"]["skipped"], report["frames"], report["scores"]["frames"]) == (4, 3, 3)
    only = [record(tmp_path / f"only{i}", [i]) for i in (0, 3, 6)]
    _, total = run(tmp_path / "each", weights, *only)
    assert total["scores"] == report["scores"]


@pytest.mark.parametrize(("name", "slop"), [("{0:d}.{1:09d}", "0.01"), ("{2:d}", "0.05")])
def test_truth_from_a_folder(tmp_path, weights, name, slop):
    """Also with a slop that is larger than the period: no frame takes the truth of its neighbor."""
    bag = record(tmp_path / "drive", range(5))
    folder = tmp_path / "truth"
    folder.mkdir()
    for i in (1, 2, 4, 9):  # frames 0 and 3 have none, 9 is none of this bag
        late = {1: -200_000, 4: 200_000}.get(i, 0)
        stamp = START + i * PERIOD + late
        image = Image.fromarray(true_labels(i))
        if i == 2:
            image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
        image.save(folder / f"{name.format(stamp // 10**9, stamp % 10**9, stamp)}.png")
    _, report = run(tmp_path / "out", weights, bag, "--truth", folder, "--slop", slop)
    other = record(tmp_path / "other", range(5), without={(TRUTH, 0), (TRUTH, 3)})
    _, expected = run(tmp_path / "out2", weights, other)
    assert report["scores"] == expected["scores"]
    assert report["scores"]["frames"] == 3
    assert report["streams"]["truth"] == str(folder)
    truth = report["pairing"]["truth"]
    assert (truth["equal_stamp"], truth["nearest_stamp"], truth["without_image"]) == (1, 2, 0)
    assert truth["difference_ms"]["max"] == 0.2


@pytest.mark.parametrize("in_folder", [True, False])
def test_every_lap_of_a_bag_meets_its_truth(tmp_path, in_folder):
    """Four laps of 0.6 s of simulated time, of which up to three images tell that they began."""
    folder, laps, frames = tmp_path / "truth", 4, 12
    folder.mkdir()
    with BagWriter(tmp_path / "laps") as bag:
        for number in range(laps * frames):
            stamp, received = START + number % frames * 50_000_000, START + number * 50_000_000
            rgb, depth = pixels(number)
            images = [(TRUTH, true_labels(number), "mono8"), (RGB, rgb, "rgb8"), (DEPTH, depth, "16UC1")]
            for image in images[in_folder:]:
                add_image(bag, *image, stamp, received - stamp)
            Image.fromarray(true_labels(number)).save(folder / f"{stamp}.png")
    streams = Streams(RGB, DEPTH, None, None if in_folder else TRUTH, "")
    source = Source(tmp_path / "laps", streams, PairingConfig(5_000_000), TruthFolder(folder) if in_folder else None)
    events = list(source.events())
    for kind, lost in ((Frame, 3), (Truth, 6)):
        assert sum(isinstance(event, kind) for event in events) >= laps * frames - lost * (laps - 1)


def test_names_of_truth_files_are_stamps(tmp_path):
    for name in ("1305031102.1753", "1305031102175400000", "7.000000001"):
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / f"{name}.png")
    assert TruthFolder(tmp_path).between(0, 2**63) == [7_000_000_001, 1305031102_175300000, 1305031102_175400000]
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "frame1.png")
    with pytest.raises(ValueError, match=r"frame1\.png: expected a name that is a stamp"):
        TruthFolder(tmp_path)
    with pytest.raises(ValueError, match="expected a folder of PNG files named by stamp"):
        TruthFolder(tmp_path / "none")


def test_truth_that_does_not_fit_is_refused_in_words(tmp_path, weights, capsys):
    for name, labels in {"classes": true_labels(0, 40), "size": true_labels(0)[::2, ::2]}.items():
        with BagWriter(tmp_path / name) as bag:
            add_image(bag, RGB, pixels(0)[0], "rgb8", START)
            add_image(bag, DEPTH, pixels(0)[1], "16UC1", START)
            add_image(bag, TRUTH, np.ascontiguousarray(labels), "mono8", START)
        assert run(tmp_path / name / "out", weights, tmp_path / name)[0] == 1
    said = capsys.readouterr().out
    assert "has label 39, but the network tells 13 classes (0 to 12, 255 = void)" in said
    assert "has 32x24 pixels; expected 64x48, as the labels have" in said
    code, report = run(tmp_path / "out", weights, tmp_path / "classes", "--truth", "none")
    assert (code, report["scores"], report["frames"]) == (0, None, 1)


def test_malformed_images_cost_their_frame_and_are_told(tmp_path, weights, capsys):
    with BagWriter(tmp_path / "drive") as bag:
        for i in range(6):
            stamp = START + i * PERIOD
            rgb, depth = pixels(i)
            message = array_to_image(rgb, "rgb8", header(stamp), SimpleNamespace)
            message.data = np.frombuffer(message.data, np.uint8)[: 100 if i == 2 else None]
            bag.add(RGB, IMAGE, message, stamp)
            add_image(bag, DEPTH, depth if i != 4 else depth[:, :20].copy(), "16UC1", stamp)
            add_image(bag, TRUTH, true_labels(i), "mono8", stamp)
    code, report = run(tmp_path / "out", weights, tmp_path / "drive")
    malformed = report["pairing"]["malformed"]
    assert (code, report["frames"], malformed["frames"]) == (0, 4, 2)
    assert [RGB in malformed["reasons"][0], DEPTH in malformed["reasons"][1]] == [True, True]
    said, page = capsys.readouterr().out, (tmp_path / "out" / "report.html").read_text()
    assert all(f"{(START + 2 * PERIOD) / 1e9:.9f}" in text for text in (said, page))


def test_images_of_several_sizes_are_labeled_at_their_own(tmp_path, weights, predictor):
    with BagWriter(tmp_path / "drive") as bag:
        for i, size in enumerate([SIZE, SIZE, (96, 128)]):
            rgb, depth = pixels(i, size)
            add_image(bag, RGB, rgb, "rgb8", START + i * PERIOD)
            add_image(bag, DEPTH, depth[::2, ::2].copy() if i == 2 else depth, "16UC1", START + i * PERIOD)
    _, report = run(tmp_path / "out", weights, tmp_path / "drive", "--write-bag")
    assert report["frames"] == 3
    assert report["series"]["plain"][0] is report["series"]["plain"][2] is None
    with Bag(tmp_path / "out" / "labeled") as labeled:
        shapes = [(each.message.height, each.message.width) for each in labeled.messages(["/cen_segmentation/label"])]
    assert shapes == [SIZE, SIZE, (96, 128)]


def test_the_written_bag_is_the_input_and_the_labels(tmp_path, weights, predictor):
    options = {"storage": "mcap", "latched": ["/camera/color/camera_info"]}
    path = record(tmp_path / "drive", range(4), poses=True, without={(DEPTH, 2)}, **options)
    run(tmp_path / "out", weights, path, "--write-bag")
    with Bag(path) as before, Bag(tmp_path / "out" / "labeled") as after:
        key = ("topic", "receive_ns", "type", "raw")
        old = [[getattr(each, name) for name in key] for each in before.messages(list(before.topics))]
        kept = [[getattr(each, name) for name in key] for each in after.messages(list(before.topics))]
        assert sorted(old) == sorted(kept)
        new = {name for name in after.topics if name not in before.topics}
        assert new == {f"/cen_segmentation/{name}" for name in ("label", "color", "confidence")}
        images = {each.message.header.stamp.nanosec: each for each in before.messages([RGB])}
        for each in after.messages(sorted(new)):
            i = (each.message.header.stamp.sec * 10**9 + each.message.header.stamp.nanosec - START) // PERIOD
            source = images[each.message.header.stamp.nanosec]
            assert (each.message.header, each.receive_ns) == (source.message.header, source.receive_ns)
            prediction = predictor.predict(*pixels(i))
            if each.topic.endswith("color"):
                assert each.message.encoding == "rgb8"
                continue
            expected = prediction.labels if each.topic.endswith("label") else prediction.confidence
            assert (each.message.encoding, each.message.step) == ("mono8", SIZE[1])
            np.testing.assert_array_equal(each.message.data.reshape(SIZE), expected)
        assert after.topics["/cen_segmentation/label"].count == 3
        assert {name: after.topics[name] for name in before.topics} == before.topics, "what is latched stays latched"

    # Labels that a network has published are not the truth, and are not overwritten.
    code, report = run(tmp_path / "again", weights, tmp_path / "out" / "labeled")
    assert (code, report["streams"]["truth"], report["frames"]) == (0, TRUTH, 3)
    assert run(tmp_path / "again2", weights, tmp_path / "out" / "labeled", "--write-bag")[0] == 1


def test_a_torn_bag_is_evaluated_as_far_as_it_reads(tmp_path, weights, capsys):
    bag = record(tmp_path / "drive", range(12), storage="mcap")
    file = next(bag.glob("*.mcap"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    code, report = run(tmp_path / "out", weights, bag)
    assert code == 0
    assert 0 < report["frames"] < 12
    assert report["series"]["stamp_ns"] == [START + i * PERIOD for i in range(report["frames"])]
    said, page = capsys.readouterr().out, (tmp_path / "out" / "report.html").read_text()
    assert report["damage"] and "damaged, evaluated as far as it reads" in said and "The bag is damaged" in page


def test_one_bad_bag_does_not_lose_the_others(tmp_path, weights, capsys):
    folder = tmp_path / "bags"
    record(folder / "a", range(3))
    (folder / "b").mkdir()
    (folder / "b" / "metadata.yaml").write_text("nonsense")
    record(folder / "deep" / "c", range(3, 5))
    with BagWriter(folder / "d") as bag:
        add_image(bag, RGB, pixels(0)[0], "rgb8", START)
    code, total = run(folder / "out", weights, folder, "--write-bag")
    assert code == 0
    assert [each["error"] is None for each in total["bags"]] == [True, False, False, True]
    assert [each["report"] for each in total["bags"]] == ["a", "b", "d", "deep/c"]
    assert total["frames"] == 5
    _, together = run(tmp_path / "together", weights, record(tmp_path / "whole", range(5)))
    assert total["scores"] == together["scores"]
    assert json.loads((folder / "out" / "deep" / "c" / "report.json").read_text())["frames"] == 2
    assert "2 of 4 bags\n  5 frames labeled" in capsys.readouterr().out
    again, total = run(folder / "out", weights, folder)
    assert (again, len(total["bags"])) == (0, 4), "what was written into the folder is not searched"
    named = run(folder / "out", weights, folder / "out" / "a" / "labeled")[1]
    assert (named["error"], named["frames"]) == (None, 3), "but what is named is evaluated"


def test_a_page_of_an_earlier_run_does_not_outlive_a_bag_that_fails(tmp_path, weights):
    bag = record(tmp_path / "drive", [0])
    assert run(tmp_path / "out", weights, bag)[0] == 0
    assert run(tmp_path / "out", weights, bag, "--depth-topic", "/none")[0] == 1
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["report.json"]


def test_numbers_are_told_in_four_digits_or_whole():
    assert list(map(number, (None, 12, 1234567, 0.0, 0.123456, 61.5, 11189.4))) == [
        *("–", "12", "1,234,567", "0", "0.1235", "61.5", "11,189")
    ]


def test_nothing_to_evaluate_is_said(tmp_path, weights, capsys):
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "out", weights, tmp_path / "empty") == (1, None)
    assert run(tmp_path / "out", weights, tmp_path / "nowhere") == (1, None)
    assert run(tmp_path / "out", tmp_path / "no.safetensors", record(tmp_path / "drive", [0])) == (1, None)
    said = capsys.readouterr().err
    assert "empty: no bag in it" in said and "nowhere: does not exist" in said and "no.safetensors" in said


def test_two_processes_and_one_give_the_same_total(tmp_path, weights):
    folder = tmp_path / "bags"
    for k in range(3):
        record(folder / f"drive{k}", range(3 * k, 3 * k + 3), poses=True)
    _, alone = run(tmp_path / "alone", weights, folder)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "cen_ros.evaluate_bag", folder, "--weights", weights, "--device", "cpu"]
    done = subprocess.run(
        [*map(str, command), "--output", str(tmp_path / "shared")],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shared = json.loads((tmp_path / "shared" / "report.json").read_text())
    assert without_time(shared) == without_time(alone)
    assert [each["report"] for each in shared["bags"]] == ["drive0", "drive1", "drive2"]
    assert (tmp_path / "shared" / "drive1" / "report.html").exists()


def test_a_page_needs_nothing_else_and_shows_the_frames(tmp_path, weights):
    bag = record(tmp_path / "drive<b>", range(9), poses=True)
    _, report = run(tmp_path / "out", weights, bag)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page and not re.search(r'(src|href)="(?!data:)|url\(|@import', page)
    assert "drive<b>" not in page, "text is escaped"
    worst = int(np.argmin(report["series"]["iou"]))
    assert re.search(r"Worst frames by IoU.*?frame (\d+)", page, re.DOTALL)[1] == str(worst)
    assert page.count('src="data:image/') == 4 * (WORST + SPREAD)
    assert page.count("<svg") == 4
    assert f"{100 * report['scores']['mean_iou']:.1f} %" in page


def test_the_worst_and_some_from_all_over_are_kept():
    gallery = Gallery()
    badness = np.random.default_rng(0).permutation(200)
    for i in range(200):
        picture = Picture(i, i, *[np.zeros(1)] * 3)
        gallery.show(picture)
        gallery.judge(badness[i], picture)
    assert [each.index for each in gallery.worst] == np.argsort(-badness)[:WORST].tolist()
    places = [each.index for each in gallery.spread]
    assert len(places) == SPREAD and places[0] == 0 and min(np.diff(places)) >= 30


def pairing_of(rgb, depth):
    pairing = Pairing()
    pairing.rgb.extend(rgb)
    pairing.depth.extend(depth)
    return pairing


@pytest.mark.parametrize("shift", [-12_000_000, 400_000_000, -5_000_000_000, START])
def test_an_advised_offset_pairs_the_images(shift):
    """Also of a clock that is off by more than the bag is long."""
    rgb = [START + i * PERIOD for i in range(60)]
    pairing = pairing_of(rgb, [stamp - shift for stamp in rgb])
    mended = {stamp - pairing.helpful_offset_ns(5_000_000) for stamp in pairing.depth}
    assert len(mended & set(rgb)) >= 30


def test_no_offset_is_advised_where_none_helps():
    rgb = [START + i * PERIOD for i in range(60)]
    for depth in (
        [0] * 60,
        [START + 40_000 * i for i in range(60)],
        [START + i**2 * PERIOD + 9_000_000 for i in range(9, 60)],
    ):
        assert pairing_of(rgb, depth).helpful_offset_ns(5_000_000) is None


@pytest.mark.parametrize(
    ("topic", "at", "told"), [(DEPTH, 0, "are all zero"), (RGB, 12_500_000_000, "are all 12.500 s")]
)
def test_stamps_of_a_bag_that_stand_still_are_told(tmp_path, weights, topic, at, told):
    bag = tmp_path / "drive"
    with BagWriter(bag) as writer:
        for i in range(5):
            stamp, (rgb, depth) = START + i * PERIOD, pixels(i)
            for name, array, encoding in ((RGB, rgb, "rgb8"), (DEPTH, depth, "16UC1")):
                own = at if name == topic else stamp
                add_image(writer, name, array, encoding, own, stamp - own)
    code, report = run(tmp_path / "out", weights, bag)
    assert code == 1 and f"the stamps of {topic} {told}" in report["error"]
    assert "--stamp-offset" not in report["error"]


def test_the_nearest_depth_of_every_image_tells_the_offset():
    rng = np.random.default_rng(0)
    pairing = Pairing()
    pairing.rgb.extend(rng.integers(0, 10**12, 50).tolist())
    pairing.depth.extend(rng.integers(0, 10**12, 70).tolist())
    nearest = [min((d - c for d in pairing.depth), key=abs) for c in pairing.rgb]
    assert pairing.offset_ns() == int(np.median(nearest))


def test_prefetching_keeps_order_and_errors_and_closes_in_its_own_thread():
    closed = []

    def numbers(stop):
        opened_by = threading.get_ident()
        try:
            yield from range(stop)
            raise ValueError("the end")
        finally:
            closed.append((stop, threading.get_ident() == opened_by != threading.main_thread().ident))

    got = []
    with pytest.raises(ValueError, match="the end"):
        got.extend(prefetched(numbers(20)))
    assert closed == [(20, True)]
    early = prefetched(numbers(30))
    assert next(early) == 0
    early.close()
    assert closed == [(20, True), (30, True)]


def test_a_lens_that_zooms_is_looked_through_as_it_was(tmp_path):
    focal = [60, 60, 80, 80, 60]
    with BagWriter(tmp_path / "drive") as bag:
        for i, f in enumerate(focal):
            add_camera(bag, i, START + i * PERIOD, np.diag([f, f, 1.0]) + K - np.diag(K.diagonal()))
    with Bag(tmp_path / "drive") as bag:
        geometry = Geometry(bag, "/camera/color/camera_info")
    cameras = [geometry.camera("optical", START + i * PERIOD, SIZE) for i in range(len(focal))]
    assert [k[0, 0] for k, _ in cameras] == focal
    assert [pose[0, 3] for _, pose in cameras] == pytest.approx([0, 0.01, 0.02, 0.03, 0.04])
    assert geometry.camera("optical", START, (96, 128))[0][0, 0] == 120
    assert geometry.missing is None
    assert geometry.camera("optical", START + 10**12, SIZE) is None and "at the time of some" in geometry.missing


def test_building_an_engine_is_not_counted_as_labeling(monkeypatch):
    now = [0.0]

    class Slow:
        def predict(self, rgb, depth):
            now[0] += 100.0 if now[0] < 100 else 1.0

    monkeypatch.setattr(run_module, "perf_counter", lambda: now[0])
    clock = run_module._Clock(Slow())
    for _ in range(3):
        clock.predict(Frame(None, 0, 0, *pixels(0)))
        now[0] += 0.5
    timing = clock.summary()
    assert (timing["preparation_s"], timing["seconds"], timing["frames_per_s"]) == (100, 4.5, 3 / 4.5)
    assert timing["inference_ms"] == {"median": 1000, "p95": 1000, "max": 1000}
