"""`roadseg demo` against the real node process, with a small network; its errors."""

from __future__ import annotations

from html import unescape
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

import cv2
import pytest
from rosbags.highlevel import AnyReader

from roadseg_ros.tools.bag_file import BagFile, SinkError
from roadseg_ros.tools.demo import log as demo_log
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
    out, weights = tmp_path / 'demo', tmp_path / "o'brien" / 'small.safetensors'
    weights.parent.mkdir()
    shutil.copy(checkpoint_path, weights)
    before = dict(os.environ)
    status = main(['demo', '--seconds', '2', '--checkpoint', str(weights),
                   '--device', 'cpu', '--out', str(out), '--json'])
    said = capsys.readouterr()
    assert dict(os.environ) == before
    summary = json.loads(said.out)
    assert status == 0, summary
    assert json.loads((out / 'summary.json').read_text()) == summary
    assert summary['frames_sent'] == summary['masks_received'] == 30
    assert summary['dropped'] == 0 and summary['recorded_hz'] == 15
    assert summary['target_hz'] == min(15, summary['calibrated_hz'])
    assert summary['played_hz'] == pytest.approx(summary['target_hz'], rel=0.2)
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
    assert len(messages['/camera/segmentation/provenance']) == 30
    assert any('roadseg' in status.name for array in messages['/diagnostics']
               for status in array.status)


def _check_folder(out: Path) -> None:
    """Pictures, video and a page that needs nothing else."""
    assert len(list((out / 'frames').glob('*.jpg'))) == 60
    assert cv2.imread(str(out / 'strip.jpg')).shape == (2 * 240, 6 * 320, 3)
    video = next(out.glob('overlay.*'))
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == 30
    page = (out / 'index.html').read_text()
    moments = json.loads(unescape(re.search("data-view='(.*?)'", page)[1]))['moments']
    assert len(moments) == 30
    assert all((out / moment[name]).is_file() for moment in moments
               for name in ('frame', 'overlay'))
    assert all(moment['made'] == 'full' and moment['ms'] > 0 for moment in moments)
    assert all(sum(moment['shares']) == pytest.approx(1, abs=0.01) for moment in moments)
    assert all((out / name).is_file() for name in re.findall(r'<a href="([^"]+)"', page))


def test_recording_that_fails_is_no_slow_machine(domain_id, checkpoint_path, tmp_path, capsys,
                                                 monkeypatch):
    write, written = BagFile.write, []

    def full(self, topic, time_ns, data):
        written.append(topic)
        if len(written) > 30:
            raise SinkError('cannot write drive.mcap: No space left on device')
        write(self, topic, time_ns, data)

    monkeypatch.setattr(BagFile, 'write', full)
    assert main(['demo', '--seconds', '2', '--checkpoint', str(checkpoint_path),
                 '--device', 'cpu', '--out', str(tmp_path / 'demo')]) == 2
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == (
        'roadseg demo: cannot write drive.mcap: No space left on device')
    assert 'trying' not in said.err and not said.out


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
            (['--topic', '/cam', *out], '--topic is for --bag'),
            (['--bag', str(taken / 'drive.mcap'), '--out', str(taken)], 'move it or choose'),
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
