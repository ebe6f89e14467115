"""`roadseg doctor`: what keeps masks away, said from outside; needs no package to begin with."""

from roadseg_ros.tools.doctor.command import add_parser, run

__all__ = ['add_parser', 'run']
