"""Data files are found in a checkout and in an install."""
from pathlib import Path

import pytest

from roadseg_ros import share

ROOT = Path(__file__).resolve().parents[1]


def place_module(monkeypatch, path):
    """Make the module believe that it lies at a path."""
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.setattr(share, '__file__', str(path))


def test_checkout():
    """In a checkout the data files lie under the repository root."""
    assert share.share_directory() == ROOT
    assert share.share_file('config/label_spaces/camvid.yaml').is_file()


@pytest.mark.parametrize('site', ['lib/python3.12/site-packages', 'local/lib/python3.10/dist'])
def test_install(monkeypatch, tmp_path, site):
    """In an install they lie in share/roadseg_ros below the prefix."""
    place_module(monkeypatch, tmp_path / site / 'roadseg_ros' / 'share.py')
    shared = tmp_path / 'share' / 'roadseg_ros'
    shared.mkdir(parents=True)
    (shared / 'package.xml').touch()
    assert share.share_file('config/x.yaml') == shared / 'config' / 'x.yaml'


def test_neither_is_a_clear_error(monkeypatch, tmp_path):
    """Without either the error says what is missing."""
    place_module(monkeypatch, tmp_path / 'lib' / 'roadseg_ros' / 'share.py')
    with pytest.raises(FileNotFoundError, match='no share/roadseg_ros above .*install'):
        share.share_file('config/x.yaml')
