"""The demo's folder: its own leftovers go, nothing else does."""

from __future__ import annotations

import pytest

from roadseg_ros.tools.bag_file import PARTIAL_PREFIX
from roadseg_ros.tools.demo.folder import DemoError, DemoFolder


def test_clear_removes_an_earlier_demo_and_nothing_else(tmp_path):
    folder = DemoFolder(tmp_path / 'out')
    folder.check(None)
    folder.clear()
    killed = folder.root / f'{PARTIAL_PREFIX}x1' / 'drive'
    killed.mkdir(parents=True)
    (killed / 'drive.mcap').touch()
    folder.frames.mkdir()
    (folder.frames / '00000.jpg').touch()
    (folder.root / 'notes.txt').write_text('mine')
    for path in (folder.bag, folder.page, folder.strip, folder.node_log, folder.node_parameters):
        path.touch()
    folder.check(None)
    folder.clear()
    assert sorted(path.name for path in folder.root.iterdir()) == ['notes.txt', 'summary.json']


def test_the_bag_to_play_is_not_cleared(tmp_path):
    folder = DemoFolder(tmp_path / 'out')
    folder.clear()
    folder.bag.touch()
    with pytest.raises(DemoError, match='drive.mcap lies in .*out'):
        folder.check(folder.bag)
    (tmp_path / 'link.mcap').symlink_to(folder.bag)
    with pytest.raises(DemoError, match='link.mcap lies in'):
        folder.check(tmp_path / 'link.mcap')
    folder.check(tmp_path / 'elsewhere.mcap')


@pytest.mark.parametrize('content', ['[]', '{"made_by": "somebody"}', 'no JSON'])
def test_folder_of_somebody_else(tmp_path, content):
    (tmp_path / 'summary.json').write_text(content)
    with pytest.raises(DemoError, match='nothing is overwritten'):
        DemoFolder(tmp_path).check(None)
