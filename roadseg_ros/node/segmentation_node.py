"""The executable: `ros2 run roadseg_ros segmentation_node`, or this module with python -m."""

from __future__ import annotations

from collections.abc import Sequence
import gc
import itertools
import os
import signal
import sys
import threading
import time
from typing import NoReturn

USAGE = """\
usage: segmentation_node [--ros-args [-p NAME:=VALUE ...] [--params-file FILE] [-r FROM:=TO ...]]

Segment the images of one or several cameras: class-id masks for planners and coloured overlays
for people, on topics beside each camera. Runs until Ctrl-C.

  -p NAME:=VALUE       set a parameter, such as
                         image_topics:="['/camera/image_raw']"   the cameras
                         checkpoint:=/path/weights.safetensors   default: the packaged weights
                         device:=cpu                             auto, cpu, cuda or cuda:N
  --params-file FILE   set many: config/segmentation.yaml holds each with its default, to copy
  -r FROM:=TO          rename a topic; -r __ns:=/robot puts the node into a namespace

README.md has the tables of parameters, topics and services; `roadseg doctor` says from outside
why no mask comes.
Exit status: 0 on Ctrl-C or SIGTERM, 1 a package is missing, 2 an argument is not understood or the
parameter file cannot be read.
"""
# after an interrupt, until the process ends whatever it is at: two seconds are what it may take
GRACE_SEC = 1.5


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is interrupted, which ends the process; return why it did not run."""
    given = sys.argv[1:] if args is None else args
    if {'-h', '--help'} & set(itertools.takewhile('--ros-args'.__ne__, given)):
        print(USAGE, end='')
        return 0
    # there is nothing to tidy up yet, and OpenCV would take an exception for a lack of NumPy
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        import cv2
        import rclpy
        from rclpy.utilities import remove_ros_args

        from roadseg_ros.node.allocator import keep_freed_memory
        from roadseg_ros.node.lifecycle import spin
    except ImportError as error:
        # colcon's scripts run the interpreter that built them, often not the venv's
        print(f'segmentation_node needs the package {error.name}, which {sys.executable} does '
              'not have; source a ROS 2 install, or use the environment that README.md sets up',
              file=sys.stderr)
        return 1
    keep_freed_memory()
    # its lines about broken pictures are not throttled; ours say the same
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    _end_in_time()
    try:
        # rclpy's own handlers only end the waiting for frames, not the loading of weights
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        _, *unknown = remove_ros_args(['segmentation_node', *given])
        if unknown:  # a parameter file that nobody reads would be found out on the road
            raise RuntimeError(f'unknown argument {unknown[0]!r}; parameters come after '
                               '--ros-args (see --help)')
        rclpy.init(args=args)
    except KeyboardInterrupt:
        _leave()
    except RuntimeError as error:  # a parameter file that is not there or no YAML
        print(f'segmentation_node: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    spin()
    # what is left of the node goes with the rubbish; else others see its services for 20 s more
    gc.collect()
    rclpy.try_shutdown()
    _leave()


def _end_in_time() -> None:
    """See to it that an interrupt ends the process, also from deep within a library."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    # written to by the signal itself: Python's own handlers wait for the library to return
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def end() -> None:
        os.read(read, 1)
        time.sleep(GRACE_SEC)
        _leave()

    threading.Thread(target=end, name='end', daemon=True).start()


def _leave() -> NoReturn:
    """
    End the process with status 0.

    Not by returning: unloading torch takes a second, and Python kills itself by SIGINT where that
    came while a text was executed, as it is by every dataclass that an import makes.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == '__main__':
    sys.exit(main())
