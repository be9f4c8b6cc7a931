# SPDX-License-Identifier: Apache-2.0
"""The choice of topics, on the topic lists that cameras' drivers record (cen_ros.bags.topics)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
from cen_ros.bags.reader import BagError, BagTopic
from cen_ros.bags.topics import choose

TYPES = {
    "camera_info": "sensor_msgs/msg/CameraInfo",
    "compressed": "sensor_msgs/msg/CompressedImage",
    "compressedDepth": "sensor_msgs/msg/CompressedImage",
    "points": "sensor_msgs/msg/PointCloud2",
    "metadata": "realsense2_camera_msgs/msg/Metadata",
    "tf": "tf2_msgs/msg/TFMessage",
    "imu": "sensor_msgs/msg/Imu",
}


def recording(names, encoding="mono8", **counts):
    """What `choose` sees of a bag: every topic with ten messages, or as many as `counts` says."""
    kinds = {name: TYPES.get(name.rpartition("/")[2], "sensor_msgs/msg/Image") for name in names.split()}
    topics = {name: BagTopic(name, kind, counts.get(name, 10)) for name, kind in kinds.items()}
    first = SimpleNamespace(message=SimpleNamespace(encoding=encoding))
    return SimpleNamespace(path="my_bag", topics=topics, messages=lambda names: iter([first]))


CAMERAS = {
    "ours": (
        "/camera/color/image_raw /camera/aligned_depth_to_color/image_raw /camera/color/camera_info /camera/label /tf",
        ("/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw"),
        ("/camera/color/camera_info", "/camera/label"),
    ),
    "RealSense": (
        "/camera/camera/color/image_raw /camera/camera/color/camera_info /camera/camera/color/metadata "
        "/camera/camera/color/image_raw/compressed /camera/camera/depth/image_rect_raw "
        "/camera/camera/depth/image_rect_raw/compressedDepth /camera/camera/depth/camera_info "
        "/camera/camera/aligned_depth_to_color/image_raw /camera/camera/aligned_depth_to_color/camera_info "
        "/camera/camera/aligned_depth_to_color/image_raw/compressed /camera/camera/infra1/image_rect_raw "
        "/camera/camera/infra1/camera_info /camera/camera/infra2/image_rect_raw /camera/camera/depth/color/points",
        ("/camera/camera/color/image_raw", "/camera/camera/aligned_depth_to_color/image_raw"),
        ("/camera/camera/color/camera_info", None),
    ),
    "RealSense, compressed": (
        "/camera/color/image_raw/compressed /camera/color/image_raw/compressedDepth /camera/color/camera_info "
        "/camera/infra1/image_rect_raw/compressed "
        "/camera/aligned_depth_to_color/image_raw/compressedDepth /camera/aligned_depth_to_color/image_raw/compressed "
        "/camera/depth/camera_info",
        ("/camera/color/image_raw/compressed", "/camera/aligned_depth_to_color/image_raw/compressedDepth"),
        ("/camera/color/camera_info", None),
    ),
    "Orbbec": (
        "/camera/color/image_raw /camera/color/camera_info /camera/depth/image_raw /camera/depth/camera_info "
        "/camera/ir/image_raw /camera/ir/camera_info /camera/depth/points /camera/depth_registered/points",
        ("/camera/color/image_raw", "/camera/depth/image_raw"),
        ("/camera/color/camera_info", None),
    ),
    "ZED": (
        "/zed/zed_node/rgb/image_rect_color /zed/zed_node/rgb/camera_info /zed/zed_node/left/image_rect_color "
        "/zed/zed_node/left/camera_info /zed/zed_node/right/image_rect_color /zed/zed_node/rgb_raw/image_raw_color "
        "/zed/zed_node/rgb/image_rect_gray /zed/zed_node/rgb_raw/camera_info /zed/zed_node/depth/depth_registered "
        "/zed/zed_node/depth/camera_info /zed/zed_node/confidence/confidence_map",
        ("/zed/zed_node/rgb/image_rect_color", "/zed/zed_node/depth/depth_registered"),
        ("/zed/zed_node/rgb/camera_info", None),
    ),
    "ZED, SDK 5": (
        "/zed/zed_node/rgb/color/rect/image /zed/zed_node/rgb/color/rect/image/camera_info "
        "/zed/zed_node/rgb/gray/rect/image /zed/zed_node/left/color/rect/image /zed/zed_node/right/color/rect/image "
        "/zed/zed_node/depth/depth_registered /zed/zed_node/depth/depth_registered/camera_info",
        ("/zed/zed_node/rgb/color/rect/image", "/zed/zed_node/depth/depth_registered"),
        ("/zed/zed_node/rgb/color/rect/image/camera_info", None),
    ),
    "Kinect, OpenNI": (
        "/camera/rgb/image_raw /camera/rgb/image_color /camera/rgb/image_mono /camera/rgb/camera_info "
        "/camera/depth/image_raw /camera/depth/camera_info /camera/depth_registered/image_raw "
        "/camera/depth_registered/camera_info /camera/ir/image_raw",
        ("/camera/rgb/image_color", "/camera/depth_registered/image_raw"),
        ("/camera/rgb/camera_info", None),
    ),
    "TUM": (
        "/camera/rgb/image_color /camera/rgb/camera_info /camera/depth/image /camera/depth/camera_info /tf /imu",
        ("/camera/rgb/image_color", "/camera/depth/image"),
        ("/camera/rgb/camera_info", None),
    ),
    "Azure Kinect": (
        "/rgb/image_raw /rgb/camera_info /depth/image_raw /depth/camera_info /ir/image_raw /depth_to_rgb/image_raw "
        "/depth_to_rgb/camera_info /rgb_to_depth/image_raw /rgb_to_depth/camera_info",
        ("/rgb/image_raw", "/depth_to_rgb/image_raw"),
        ("/rgb/camera_info", None),
    ),
    "OAK-D": (
        "/oak/rgb/image_raw /oak/rgb/camera_info /oak/stereo/image_raw /oak/stereo/camera_info /oak/left/image_raw "
        "/oak/right/image_raw /imu",
        ("/oak/rgb/image_raw", "/oak/stereo/image_raw"),
        ("/oak/rgb/camera_info", None),
    ),
    "Gazebo": (
        "/rgbd_camera/image /rgbd_camera/depth_image /rgbd_camera/camera_info /rgbd_camera/points",
        ("/rgbd_camera/image", "/rgbd_camera/depth_image"),
        ("/rgbd_camera/camera_info", None),
    ),
    "Isaac Sim": (
        "/rgb /depth /camera_info /semantic_segmentation /tf",
        ("/rgb", "/depth"),
        ("/camera_info", "/semantic_segmentation"),
    ),
    "two cameras": (
        "/camera0/color/image_raw /camera0/depth/image_raw /camera1/color/image_raw /camera1/depth/image_raw "
        "/camera0/color/camera_info /camera1/color/camera_info",
        ("/camera0/color/image_raw", "/camera0/depth/image_raw"),
        ("/camera0/color/camera_info", None),
    ),
    "with our answers and truth": (
        "/camera/color/image_raw /camera/depth/image_raw /cen_segmentation/label /cen_segmentation/color "
        "/cen_segmentation/confidence /semantic_color/image_raw /camera/color/label_gt /camera/color/segmentation_mask",
        ("/camera/color/image_raw", "/camera/depth/image_raw"),
        (None, "/camera/color/label_gt"),
    ),
    "with our answers alone": (
        "/camera/color/image_raw /camera/depth/image_raw /cen_segmentation/label /cen_segmentation/color",
        ("/camera/color/image_raw", "/camera/depth/image_raw"),
        (None, None),
    ),
}


@pytest.mark.parametrize("names, images, others", CAMERAS.values(), ids=CAMERAS)
@pytest.mark.parametrize("turned", [False, True])
def test_the_streams_of_real_cameras_are_found_in_any_order(names, images, others, turned):
    names = " ".join(reversed(names.split())) if turned else names
    streams = choose(recording(names))
    assert ((streams.rgb, streams.depth), (streams.info, streams.truth)) == (images, others)
    assert all(name in streams.why for name in images)


def test_of_equal_candidates_the_one_with_most_messages_is_taken_and_named():
    names = CAMERAS["two cameras"][0]
    streams = choose(recording(names, **{"/camera1/depth/image_raw": 12}))
    assert (streams.rgb, streams.depth) == ("/camera1/color/image_raw", "/camera1/depth/image_raw")
    assert "/camera1/depth/image_raw (with 12 messages; as good were /camera0/depth/image_raw 10)" in streams.why


def test_empty_topics_are_not_chosen():
    streams = choose(recording(CAMERAS["RealSense"][0], **{"/camera/camera/aligned_depth_to_color/image_raw": 0}))
    assert streams.depth == "/camera/camera/depth/image_rect_raw"


def test_colored_labels_are_not_the_truth_unless_named():
    names = CAMERAS["ours"][0]
    assert choose(recording(names, encoding="rgb8")).truth is None
    assert choose(recording(names, encoding="rgb8"), truth="/camera/label").truth == "/camera/label"


def test_what_is_given_is_taken():
    names = CAMERAS["RealSense"][0]
    given = {"rgb": "/camera/camera/infra1/image_rect_raw", "info": "/camera/camera/infra1/camera_info"}
    streams = choose(recording(names), **given, truth="/camera/camera/infra2/image_rect_raw")
    assert (streams.rgb, streams.info) == tuple(given.values())
    assert streams.truth == "/camera/camera/infra2/image_rect_raw"
    assert streams.why.count("(given)") == 3


@pytest.mark.parametrize(
    "names, given, words",
    [
        ("/camera/color/image_raw /tf", {}, r"my_bag: no topic looks like depth; name it. there are /camera/color"),
        ("/camera/depth/image_raw", {}, "no topic looks like color"),
        ("/imu /tf", {}, r"none is of its type; there are /imu \(sensor_msgs/msg/Imu, 10\), /tf"),
        (CAMERAS["TUM"][0], {"rgb": "/nope"}, "no color topic /nope; there are /camera/rgb/image_color"),
        (CAMERAS["TUM"][0], {"depth": "/imu"}, "no depth topic /imu; there are"),
        (CAMERAS["TUM"][0], {"info": "/tf"}, "no camera_info topic /tf; there are /camera/rgb/camera_info"),
    ],
)
def test_errors_list_what_is_there(names, given, words):
    with pytest.raises(BagError, match=words):
        choose(recording(names), **given)
