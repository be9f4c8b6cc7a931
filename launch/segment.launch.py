# SPDX-License-Identifier: Apache-2.0
"""The segmentation node on a camera's topics: ros2 launch cen_ros segment.launch.py rgb_topic:=… depth_topic:=…"""

import os
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

CONFIG = Path(get_package_share_directory("cen_ros"), "config")
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # until Jazzy, since Kilted

ARGUMENTS = {
    "rgb_topic": ("/camera/color/image_raw", "color images (sensor_msgs/Image)"),
    "depth_topic": ("/camera/aligned_depth_to_color/image_raw", "depth images registered to color"),
    "info_topic": ("/camera/color/camera_info", "of the color camera, for point clouds"),
    "params_file": (str(CONFIG / "segment.yaml"), "parameters of the node"),
    "namespace": ("", "namespace of the node"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    # Empty means: as the parameters file says.
    "weights": ("", "checkpoint file or name of shipped weights; overrides params_file"),
    "image_size": ("", "[height, width] of the images, for which engines are built; overrides params_file"),
    "autostart": ("", "true or false: configure and activate at start; overrides params_file"),
    "use_sim_time": ("", "true or false: time from /clock; overrides params_file"),
}
TYPED = ("image_size", "autostart", "use_sim_time")  # parameters that are not strings

REMAPPED = {"rgb/image": "rgb_topic", "depth/image": "depth_topic", "rgb/camera_info": "info_topic"}


def fast_dds_profile():
    """Shared memory that holds images, where Fast DDS is the middleware and the user has set no profile."""
    fast_dds = (os.environ.get("RMW_IMPLEMENTATION") or "rmw_fastrtps_cpp").startswith("rmw_fastrtps")
    if not fast_dds or any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return []
    profile = str(CONFIG / "fastdds_large_images.xml")
    return [SetEnvironmentVariable(name, profile) for name in PROFILE_VARIABLES]


def segment(context):
    """The node, with those overrides that were given."""
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    overrides = {"weights": values["weights"]} if values["weights"] else {}
    overrides.update({name: yaml.safe_load(values[name]) for name in TYPED if values[name]})
    node = Node(
        package="cen_ros",
        executable="segment",
        namespace=values["namespace"],
        parameters=[values["params_file"], *([overrides] if overrides else [])],
        remappings=[(name, values[argument]) for name, argument in REMAPPED.items()],
        arguments=["--ros-args", "--log-level", values["log_level"]],
        output="screen",
    )
    return [node]


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, *fast_dds_profile(), OpaqueFunction(function=segment)])
