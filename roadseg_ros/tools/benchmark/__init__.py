"""`roadseg benchmark`: how fast segmenter and node are on this machine, with every engine."""

from roadseg_ros.tools.benchmark.command import add_parser, run

__all__ = ['add_parser', 'run']
