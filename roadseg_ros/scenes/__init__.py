"""A procedural drive along a street: labelled video of any length from a seed."""

from roadseg_ros.scenes.drive import Drive

__all__ = ['Drive']
