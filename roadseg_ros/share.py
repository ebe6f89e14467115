"""Where the package's data files (config, launch, weights) lie."""

from __future__ import annotations

from pathlib import Path

PACKAGE = 'roadseg_ros'


def share_directory() -> Path:
    """
    Find the folder that holds `config/`, `launch/` and `weights/`.

    In a checkout that is the repository root, in an install (colcon or pip) the
    `share/roadseg_ros` under the prefix this module was installed to.

    :return: the folder.
    :raises FileNotFoundError: neither exists.
    """
    for parent in Path(__file__).resolve().parents:
        if (parent / 'package.xml').is_file():
            return parent
        share = parent / 'share' / PACKAGE
        if (share / 'package.xml').is_file():
            return share
    raise FileNotFoundError(f'no share/{PACKAGE} above {__file__}; install the package again')


def share_file(relative: str) -> Path:
    """
    Resolve a data file of the package.

    :param relative: path below the share directory, such as 'config/segmentation.yaml'.
    :return: absolute path; the file need not exist.
    """
    return share_directory() / relative
