"""The page of `roadseg demo` and `roadseg segment --report`: one file that loads nothing else."""

from roadseg_ros.tools.page.page import Camera, check_page, make_page
from roadseg_ros.tools.page.timeline import class_shares, Timeline

__all__ = ['Camera', 'check_page', 'class_shares', 'make_page', 'Timeline']
