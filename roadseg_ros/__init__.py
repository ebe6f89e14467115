"""Road segmentation for ROS 2: camera topics in, class-id masks and overlays out."""

__version__ = '0.1.0'
