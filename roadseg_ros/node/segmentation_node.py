"""The executable: `ros2 run roadseg_ros segmentation_node`, or this module with python -m."""

from __future__ import annotations

from collections.abc import Sequence
import signal
import sys


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit status."""
    try:
        import rclpy

        from roadseg_ros.node.allocator import keep_freed_memory
        from roadseg_ros.node.lifecycle import spin
    except ImportError as error:
        # colcon's scripts run the interpreter that built them, often not the venv's
        print(f'segmentation_node needs the package {error.name}, which {sys.executable} does '
              'not have; source a ROS 2 install, or use the environment that README.md sets up',
              file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    keep_freed_memory()
    try:
        rclpy.init(args=args)
    except RuntimeError as error:  # a parameter file that is not there or no YAML
        print(f'segmentation_node: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    spin()
    rclpy.try_shutdown()
    # Again, as rclpy has put back what was there before it; unloading torch takes a second
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return 0


if __name__ == '__main__':
    sys.exit(main())
