# SPDX-License-Identifier: Apache-2.0
"""Replays a bag into the live segmentation node and scores what it publishes, drops and latency included:

ros2 launch cen_ros evaluate.launch.py bag:=/path/to/bag weights:=… output:=evaluation

Ends by itself; the result is output/score.json, with pictures where frames of color and labels met.
"""

import importlib.util
import shutil
import sys
from itertools import islice
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

LAUNCH = Path(get_package_share_directory("cen_ros"), "launch")

ARGUMENTS = {
    "bag": (None, "a bag of rosbag2, or a .bag of ROS 1"),
    "output": ("evaluation", "folder for score.json and pictures"),
    "rate": ("1.0", "times as fast as the bag was recorded"),
    "player": (
        "auto",
        "rosbag2 (`ros2 bag play`), cen_ros (`python -m cen_ros.tools.play`), or auto: rosbag2 if it can",
    ),
    # Empty means: found by type and name.
    "rgb_topic": ("", "color images in the bag"),
    "depth_topic": ("", "depth images in the bag, registered to color"),
    "truth_topic": ("", "label images in the bag to compare with; none: there is no truth"),
    # Of the node.
    "weights": ("", "checkpoint file or name of shipped weights; overrides params_file"),
    "params_file": ("", "parameters of the node, which leave its topics as they are; empty takes the package's"),
}
DELAY_SECONDS = "3"
"""Given to `ros2 bag play`, which does not wait for those who listen to find it."""
LAST_SECONDS = 15.0
"""From the player's end to that of a scorer that has not heard anything; one that has ends sooner by itself."""


def inspect(values):
    """Streams of the bag, its number of color images, whether depth has the same stamps, and what is damaged."""
    from cen_ros.bags.reader import Bag
    from cen_ros.bags.topics import COMPRESSED, choose
    from cen_ros.segmentation.sync import stamp_ns

    def given(name):
        return values[name] if values[name] not in ("", "none") else None

    with Bag(values["bag"]) as bag:
        streams = choose(bag, given("rgb_topic"), given("depth_topic"), truth=given("truth_topic"))
        images = (streams.rgb, streams.depth)
        if compressed := [name for name in images if bag.topics[name].type == COMPRESSED]:
            raise ValueError(
                f"{compressed[0]}: expected raw images; cen_ros.evaluate_bag reads compressed ones as well"
            )
        first = [{stamp_ns(each.message.header) for each in islice(bag.messages([name]), 5)} for name in images]
        return streams, bag.topics[streams.rgb].count, not first[0].isdisjoint(first[1]), bag.damage


def player(values, listeners, damage):
    """The process that replays the bag, with /clock; ours waits for so many `listeners`."""
    installed = shutil.which("ros2") is not None and importlib.util.find_spec("ros2bag") is not None
    whole = Path(values["bag"], "metadata.yaml").is_file() and not damage
    if values["player"] == "rosbag2" or (values["player"] == "auto" and installed and whole):
        command = ["ros2", "bag", "play", values["bag"], "--clock", "--delay", DELAY_SECONDS]
    else:
        command = [
            sys.executable,
            "-m",
            "cen_ros.tools.play",
            values["bag"],
            "--clock",
            "--subscribers",
            str(listeners),
        ]
    return ExecuteProcess(cmd=[*command, "--rate", values["rate"]], output="screen", name="player")


def scorer(values, streams, frames, same):
    """The node that compares."""
    truth = streams.truth is not None and values["truth_topic"] != "none"
    topics = {"camera/color/image_raw": streams.rgb, "camera/aligned_depth_to_color/image_raw": streams.depth}
    return Node(
        package="cen_ros",
        executable="score",
        parameters=[
            {"frames": frames, "truth": truth, "depth": same, "latency_since": "image", "output": values["output"]}
        ],
        remappings=[*topics.items(), *([("camera/label", streams.truth)] if truth else [])],
        output="screen",
    )


def segmentation(values, streams):
    """The node under test, with its Fast DDS profile, which holds for all that start after it."""
    topics = {"rgb_topic": streams.rgb, "depth_topic": streams.depth, "info_topic": streams.info or ""}
    options = {name: values[name] for name in ("weights", "params_file") if values[name]}
    arguments = {**{name: topic for name, topic in topics.items() if topic}, **options}
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(LAUNCH / "segment.launch.py")),
        launch_arguments={**arguments, "autostart": "true", "use_sim_time": "true"}.items(),
    )


def end(reason):
    return EmitEvent(event=Shutdown(reason=reason))


def evaluate(context):
    """Node and scorer; the player once both listen; the end once the scorer has its result or something fails."""
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    try:
        streams, frames, same, damage = inspect(values)
    except ValueError as error:
        return [LogInfo(msg=f"evaluate: {error}"), end("the bag cannot be evaluated")]
    score, play = scorer(values, streams, frames, same), player(values, 2 if same else 1, damage)
    started = []

    def on_scorer(event):
        if b"everybody listens" in event.text and not started:
            started.append(True)
            return [play]
        return None

    def on_anyone(event):
        return [end("the node could not start")] if b"not configured:" in event.text else None

    def on_player(event, _):
        if event.returncode:
            return [end("the bag could not be played")]
        return [TimerAction(period=LAST_SECONDS, actions=[end("none of the bag's images was heard")])]

    return [
        LogInfo(msg=f"evaluate: {streams.why}; {frames} color images{f'; {damage}' if damage else ''}"),
        RegisterEventHandler(OnProcessIO(target_action=score, on_stderr=on_scorer, on_stdout=on_scorer)),
        RegisterEventHandler(OnProcessIO(on_stderr=on_anyone, on_stdout=on_anyone)),
        RegisterEventHandler(OnProcessExit(target_action=play, on_exit=on_player)),
        RegisterEventHandler(OnProcessExit(target_action=score, on_exit=[end("the result is there")])),
        segmentation(values, streams),
        score,
    ]


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=evaluate)])
