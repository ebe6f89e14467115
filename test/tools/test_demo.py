"""`roadseg demo` against the real node process, with a small network; its page; its errors."""

from __future__ import annotations

import json
from pathlib import Path
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from roadseg_ros.tools import demo_log, demo_page
from roadseg_ros.tools.demo_log import read_log
from roadseg_ros.tools.demo_node import NodeError, NodeProcess
from roadseg_ros.tools.demo_summary import Rates
from roadseg_ros.tools.main import main

SECOND_NS = 10**9


def recorded(bag: Path) -> dict[str, list]:
    """Return the messages of a bag file by topic."""
    messages: dict[str, list] = {}
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            messages.setdefault(connection.topic, []).append(
                reader.deserialize(data, connection.msgtype))
    return messages


def stamp_ns(message) -> int:
    return message.header.stamp.sec * SECOND_NS + message.header.stamp.nanosec


def test_generated_drive(domain_id, checkpoint_path, tmp_path, capsys):
    out = tmp_path / 'demo'
    status = main(['demo', '--seconds', '2', '--checkpoint', str(checkpoint_path),
                   '--device', 'cpu', '--out', str(out), '--json'])
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert status == 0, summary
    assert json.loads((out / 'summary.json').read_text()) == summary
    assert summary['frames_sent'] == summary['masks_received'] == 30
    assert summary['dropped'] == 0 and summary['recorded_hz'] == 15
    assert summary['played_hz'] == min(15, summary['sustained_hz'])
    assert 0 < summary['latency_ms']['p50'] <= summary['latency_ms']['p95']
    assert 0 < summary['mean_iou'] < 1 and set(summary['node']) == {'device', 'engine', 'network'}
    _check_bag(out / 'drive.mcap')
    _check_folder(out)
    process = int(re.search(r'process (\d+)', said.err)[1])
    assert not Path(f'/proc/{process}').exists()


def _check_bag(bag: Path) -> None:
    """Masks and overlays of exactly the frames of the log, as the node encodes them."""
    messages = recorded(bag)
    masks = messages['/camera/segmentation/mask']
    assert [stamp_ns(mask) for mask in masks] == [
        demo_log.START_NS + round(index * SECOND_NS / 15) for index in range(30)]
    assert {(mask.encoding, mask.height, mask.width, mask.step, mask.data.size,
             mask.header.frame_id) for mask in masks} == {
        ('mono8', 360, 480, 480, 360 * 480, 'camera')}
    overlays = messages['/camera/segmentation/overlay/compressed']
    assert [stamp_ns(overlay) for overlay in overlays] == [stamp_ns(mask) for mask in masks]
    assert cv2.imdecode(overlays[0].data, cv2.IMREAD_COLOR).shape == (360, 480, 3)
    assert any('roadseg' in status.name for array in messages['/diagnostics']
               for status in array.status)


def _check_folder(out: Path) -> None:
    """Pictures, video and a page that needs nothing else."""
    assert len(list((out / 'frames').glob('*.jpg'))) == 60
    assert cv2.imread(str(out / 'strip.jpg')).shape == (2 * 240, 6 * 320, 3)
    video = next(out.glob('overlay.*'))
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == 30
    page = (out / 'index.html').read_text()
    pictures = json.loads(re.search(r'const pictures = (\[.*?\]\]),', page)[1])
    assert len(pictures) == 30
    assert all((out / name).is_file() for pair in pictures for name in pair)
    assert all((out / name).is_file() for name in re.findall(r'href="([^"]+)"', page))


def test_page_stands_alone(labels):
    page = demo_page.make_page(
        {'log': '<drive>', 'files': ['drive.mcap']}, [('frames in', '2')], labels, [True, False],
        [(0.0, 10.0), (1.0, 20.0)], {'frames sent': [(0.5, 2.0)]})
    assert '&lt;drive&gt;' in page and '<drive>' not in page
    assert '["frames/00000.jpg", "frames/00000_overlay.jpg"], ["frames/00001.jpg", ""]' in page
    assert all(name in page for name in labels.names)
    assert '<th>frames in</th><td>2</td>' in page
    assert not re.search(r'https?:|src="/|<script src|@import', page)


def test_plot_is_svg_with_the_points_in_place():
    picture = ElementTree.fromstring(demo_page.plot({'a': [(0, 0), (2, 10)]}, 'x & y'))
    (line,) = picture.findall('polyline')
    (left, bottom), (right, top) = (map(float, point.split(','))
                                    for point in line.get('points').split())
    assert left < right and top < bottom
    assert demo_page.plot({'a': []}, 'nothing')


@pytest.mark.parametrize('sustained, asked, choice, played', [
    (30.0, None, 'recorded', 15.0), (4.0, None, 'sustained', 4.0), (4.0, 20.0, 'asked', 20.0)])
def test_rates(sustained, asked, choice, played):
    rates = Rates(15.0, sustained, asked)
    assert (rates.choice, rates.played_hz) == (choice, played)


def test_log_of_a_bag(bags, pictures, tmp_path):
    stamps = [5 * SECOND_NS, 5 * SECOND_NS, 6 * SECOND_NS, 9 * SECOND_NS]
    bag = bags.write(tmp_path / 'bag', [
        ('/front/image_raw', stamp + index, bags.raw(picture, stamp))
        for index, (stamp, picture) in enumerate(zip(stamps, pictures))])
    log = read_log(bag, None, 3.0)
    assert log.topic == '/front/image_raw'
    # the second repeats a stamp and takes the time of its recording; the last is 4 s later
    assert [frame.stamp_ns for frame in log.frames] == [stamps[0], stamps[1] + 1, stamps[2]]
    assert log.recorded_hz == 2
    assert all(np.array_equal(frame.picture, picture) and frame.frame_id == 'front'
               for frame, picture in zip(log.frames, pictures))


def test_node_that_cannot_configure_is_named_and_ended(domain_id, tmp_path):
    output, broken = tmp_path / 'node.log', tmp_path / 'broken.safetensors'
    broken.write_bytes(b'no weights')
    with pytest.raises(NodeError, match='the node cannot start: .*broken.safetensors'):
        with NodeProcess('/camera/image_raw', broken, 'cpu', output) as node:
            from roadseg_ros.tools.demo_player import Player

            frame = read_log(None, None, 0.1).frames[0]
            with Player('/camera/image_raw', node.check) as player:
                player.connect(frame, node.last_line)
    assert not Path(f'/proc/{node.pid}').exists()


def test_bad_inputs_are_one_line(tmp_path, capsys, checkpoint_path):
    pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')
    broken, taken = tmp_path / 'broken.safetensors', tmp_path / 'taken'
    broken.write_bytes(b'no weights')
    taken.mkdir()
    (taken / 'summary.json').write_text('{"made_by": "somebody"}')
    out = ['--out', str(tmp_path / 'out')]
    for arguments, reason in (
            (['--checkpoint', str(broken), *out], 'broken.safetensors'),
            (['--bag', str(tmp_path / 'none.mcap'), '--checkpoint', str(checkpoint_path), *out],
             'there is no bag .*none.mcap'),
            (['--out', str(taken)], 'nothing is overwritten')):
        assert main(['demo', *arguments]) == 2
        assert re.fullmatch(f'roadseg demo: .*{reason}.*\n', capsys.readouterr().err)
    assert not (tmp_path / 'out').exists() and len(list(taken.iterdir())) == 1


def test_without_rclpy_says_how_to_get_it(tmp_path):
    code = ("import sys; sys.modules['rclpy'] = None\n"
            'from roadseg_ros.tools.main import main\n'
            f"sys.exit(main(['demo', '--out', {str(tmp_path / 'out')!r}]))")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count('\n') == 1
    assert 'make setup' in done.stderr
