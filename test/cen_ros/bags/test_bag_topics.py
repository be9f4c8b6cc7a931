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
    "RealSense whose name tells a side": (
        "/camera_left/color/image_raw /camera_left/color/camera_info /camera_left/depth/image_rect_raw "
        "/camera_left/aligned_depth_to_color/image_raw /camera_left/infra1/image_rect_raw",
        ("/camera_left/color/image_raw", "/camera_left/aligned_depth_to_color/image_raw"),
        ("/camera_left/color/camera_info", None),
    ),
    "a camera named depth": (
        "/depth_camera/image_raw /depth_camera/camera_info /depth_camera/depth/image_raw /depth_camera/points",
        ("/depth_camera/image_raw", "/depth_camera/depth/image_raw"),
        ("/depth_camera/camera_info", None),
    ),
    "Nova Carter": (
        "/front_stereo_camera/left/image_rect_color /front_stereo_camera/left/camera_info "
        "/front_stereo_camera/left/depth /front_stereo_camera/right/image_rect_color "
        "/front_stereo_camera/right/camera_info",
        ("/front_stereo_camera/left/image_rect_color", "/front_stereo_camera/left/depth"),
        ("/front_stereo_camera/left/camera_info", None),
    ),
    "TurtleBot 4": (
        "/robot_7/oakd/rgb/preview/image_raw /robot_7/oakd/rgb/preview/camera_info /robot_7/oakd/rgb/image_raw "
        "/robot_7/oakd/rgb/camera_info /robot_7/oakd/stereo/image_raw /robot_7/oakd/stereo/camera_info",
        ("/robot_7/oakd/rgb/image_raw", "/robot_7/oakd/stereo/image_raw"),
        ("/robot_7/oakd/rgb/camera_info", None),
    ),
    "TIAGo": (
        "/head_front_camera/rgb/image_raw /head_front_camera/rgb/image_rect_color /head_front_camera/rgb/camera_info "
        "/head_front_camera/depth/image_raw /head_front_camera/depth_registered/image_raw "
        "/head_front_camera/depth_registered/camera_info",
        ("/head_front_camera/rgb/image_rect_color", "/head_front_camera/depth_registered/image_raw"),
        ("/head_front_camera/rgb/camera_info", None),
    ),
    "Fetch": (
        "/head_camera/rgb/image_raw /head_camera/rgb/camera_info /head_camera/depth/image_raw "
        "/head_camera/depth_downsample/image_raw /head_camera/depth_registered/image_raw /head_camera/ir/image_raw",
        ("/head_camera/rgb/image_raw", "/head_camera/depth_registered/image_raw"),
        ("/head_camera/rgb/camera_info", None),
    ),
    "HSR": (
        "/hsrb/head_rgbd_sensor/rgb/image_rect_color /hsrb/head_rgbd_sensor/rgb/camera_info "
        "/hsrb/head_rgbd_sensor/depth_registered/image_rect_raw /hsrb/head_rgbd_sensor/depth_registered/camera_info "
        "/hsrb/head_l_stereo_camera/image_rect_color /hsrb/head_r_stereo_camera/image_rect_color "
        "/hsrb/hand_camera/image_raw /hsrb/hand_camera/camera_info",
        ("/hsrb/head_rgbd_sensor/rgb/image_rect_color", "/hsrb/head_rgbd_sensor/depth_registered/image_rect_raw"),
        ("/hsrb/head_rgbd_sensor/rgb/camera_info", None),
    ),
    "Spot": (
        "/camera/frontleft/image /camera/frontleft/camera_info /camera/right/image /depth/frontleft/image "
        "/depth_registered/frontleft/image /depth_registered/frontleft/camera_info",
        ("/camera/frontleft/image", "/depth_registered/frontleft/image"),
        ("/camera/frontleft/camera_info", None),
    ),
    "Stretch": (
        "/camera/color/image_raw /camera/color/camera_info /camera/aligned_depth_to_color/image_raw "
        "/gripper_camera/image_raw /navigation_camera/image_raw /camera/depth/image_rect_raw",
        ("/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw"),
        ("/camera/color/camera_info", None),
    ),
    "a depth camera beside an arm's color camera": (
        "/arm/color/image_raw /arm/color/camera_info /base/depth_camera/image_raw /base/depth_camera/camera_info "
        "/base/depth_camera/depth/image_raw",
        ("/base/depth_camera/image_raw", "/base/depth_camera/depth/image_raw"),
        ("/base/depth_camera/camera_info", None),
    ),
    "ANYmal": (
        "/depth_camera_front/depth/image_rect_raw /depth_camera_front/infra1/image_rect_raw "
        "/depth_camera_front/color/image_raw /depth_camera_front/color/camera_info "
        "/wide_angle_camera_front/image_color /wide_angle_camera_rear/image_color",
        ("/depth_camera_front/color/image_raw", "/depth_camera_front/depth/image_rect_raw"),
        ("/depth_camera_front/color/camera_info", None),
    ),
    "Kinect v2, with one size of color": (
        "/kinect2/qhd/image_color_rect /kinect2/qhd/image_depth_rect /kinect2/qhd/camera_info "
        "/kinect2/hd/image_depth_rect /kinect2/sd/image_depth_rect /kinect2/sd/image_ir_rect",
        ("/kinect2/qhd/image_color_rect", "/kinect2/qhd/image_depth_rect"),
        ("/kinect2/qhd/camera_info", None),
    ),
    "MYNT EYE": (
        "/mynteye/left/image_color /mynteye/left/camera_info /mynteye/right/image_color /mynteye/depth/image_raw",
        ("/mynteye/left/image_color", "/mynteye/depth/image_raw"),
        ("/mynteye/left/camera_info", None),
    ),
    "uHumans2": (
        "/tesse/left_cam/rgb/image_raw /tesse/left_cam/camera_info /tesse/right_cam/mono/image_raw "
        "/tesse/left_cam/mono/image_raw /tesse/depth_cam/mono/image_raw /tesse/seg_cam/rgb/image_raw",
        ("/tesse/left_cam/rgb/image_raw", "/tesse/depth_cam/mono/image_raw"),
        (None, None),
    ),
    "CARLA, two views": (
        "/carla/ego_vehicle/rgb_front/image /carla/ego_vehicle/rgb_front/camera_info /carla/ego_vehicle/rgb_left/image "
        "/carla/ego_vehicle/depth_front/image /carla/ego_vehicle/dvs_front/events",
        ("/carla/ego_vehicle/rgb_front/image", "/carla/ego_vehicle/depth_front/image"),
        ("/carla/ego_vehicle/rgb_front/camera_info", None),
    ),
    "Webots": (
        "/my_robot/camera/image_color /my_robot/camera/camera_info /my_robot/depth_sensor/image",
        ("/my_robot/camera/image_color", "/my_robot/depth_sensor/image"),
        ("/my_robot/camera/camera_info", None),
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


@pytest.mark.parametrize("most", ["hd", "qhd", "sd"])
def test_color_and_depth_are_of_one_size(most):
    """The three sizes of a Kinect v2; the names alone would leave it to their lengths."""
    names = " ".join(
        f"/kinect2/{size}/image_{kind}_rect" for size in ("hd", "qhd", "sd") for kind in ("color", "depth")
    )
    counts = {f"/kinect2/{most}/image_color_rect": 11}
    streams = choose(recording(names, **counts))
    assert (streams.rgb, streams.depth) == (f"/kinect2/{most}/image_color_rect", f"/kinect2/{most}/image_depth_rect")
    assert streams.why.count("as good were") == 2


@pytest.mark.parametrize("side", ["left", "right"])
def test_depth_follows_the_color_that_is_given(side):
    names = " ".join(f"/{eye}_camera/{kind}/image_raw" for eye in ("left", "right") for kind in ("color", "depth"))
    assert choose(recording(names), rgb=f"/{side}_camera/color/image_raw").depth == f"/{side}_camera/depth/image_raw"


def test_all_candidates_are_shown():
    why = choose(recording(CAMERAS["TIAGo"][0])).why
    assert "color /head_front_camera/rgb/image_rect_color (not taken: /head_front_camera/rgb/image_raw)" in why
    assert "depth /head_front_camera/depth_registered/image_raw (not taken: /head_front_camera/depth/image_raw)" in why


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
