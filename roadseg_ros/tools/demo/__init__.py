"""`roadseg demo`: the node at work on a driving log, and a page that shows how it went."""

from roadseg_ros.tools.demo.command import add_parser, run

__all__ = ['add_parser', 'run']
