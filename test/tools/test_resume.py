"""Runs that are interrupted and gone on with end as those that nobody interrupts."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
import json
from pathlib import Path
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.tools import resume, segment_frames
from roadseg_ros.tools.bag_file import BagFile
from roadseg_ros.tools.progress import complete_path, progress_path

COUNT = 12
SIZE = (640, 480)  # four masks make a chunk of an MCAP file
# the process kills itself where frame so and so would be segmented
KILLED = '''
import os, signal, sys
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.tools.main import main
segment, frames = Segmenter.segment, iter(range(int(sys.argv[1]) + 1))
def killed(self, *arguments):
    if next(frames) == int(sys.argv[1]):
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
    return segment(self, *arguments)
Segmenter.segment = killed
sys.exit(main(sys.argv[3:]))
'''
OUTPUTS = ['masks', 'masks.mcap', 'masks.db3']


@pytest.fixture
def drive(picture: np.ndarray) -> list[np.ndarray]:
    """Return pictures that move, (480, 640, 3) uint8 BGR."""
    large = cv2.resize(picture, SIZE, interpolation=cv2.INTER_NEAREST)
    return [np.ascontiguousarray(np.roll(large, 7 * index, 1)) for index in range(COUNT)]


@pytest.fixture
def log(tmp_path, drive, bags) -> Path:
    """Return a bag of two cameras: equal stamps and one message that cannot be read among it."""
    messages = [(f'/{"lr"[index % 2]}/image_raw', 10**9 + index * 10**7,
                 bags.raw(picture, 10**9 + index // 4 * 10**8))
                for index, picture in enumerate(drive)]
    messages[3][2].step = 1
    return bags.write(tmp_path / 'log', messages)


@pytest.fixture
def images(tmp_path, drive) -> Path:
    """Return a folder of pictures, one of them broken."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for index, picture in enumerate(drive):
        cv2.imwrite(str(folder / f'{index:02}.png'), picture)
    (folder / '02.png').write_bytes(b'broken')
    return folder


@pytest.fixture
def video(tmp_path, drive) -> Path:
    """Return a video."""
    writer = cv2.VideoWriter(str(tmp_path / 'drive.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10,
                             SIZE)
    for picture in drive:
        writer.write(picture)
    writer.release()
    return tmp_path / 'drive.avi'


@pytest.fixture
def interrupt(monkeypatch, segment) -> Callable[..., int]:
    """Return what runs the command and has it interrupted at a frame."""
    def run(at: int, *arguments: object) -> int:
        unharmed, left = Segmenter.segment, iter(range(at))

        def interrupted(self, *frame):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return unharmed(self, *frame)

        with monkeypatch.context() as patch:
            patch.setattr(Segmenter, 'segment', interrupted)
            return segment(*arguments)
    return run


def content(out: Path, bags) -> list:
    """Return all that an output holds, so that two can be compared."""
    if out.is_file():
        return [(topic, time, repr(message.header), getattr(message, 'encoding', 'jpeg'),
                 message.data.tobytes()) for topic, time, message in bags.read(out)]
    folders = [out, out.with_name(f'{out.name}_overlay')]
    return [(str(path.relative_to(folder)), path.read_bytes()) for folder in folders
            for path in sorted(folder.rglob('*')) if path.is_file()]


def said_last(capsys) -> list[str]:
    """Return the last line on stderr that says something."""
    return [line for line in capsys.readouterr().err.splitlines() if line.strip()][-1:]


def left(folder: Path) -> list[str]:
    """Return the hidden files that a run left."""
    return [path.name for path in folder.rglob('.*')]


@pytest.mark.parametrize('out', OUTPUTS)
@pytest.mark.parametrize('source, failed', [('log', 1), ('images', 1), ('video', 0)])
def test_interrupted_and_resumed(tmp_path, request, segment, interrupt, bags, capsys, source,
                                 failed, out):
    given = request.getfixturevalue(source)
    assert segment(given, '--out', tmp_path / 'whole' / out, '--overlay', '--json') == failed
    wanted = json.loads(capsys.readouterr().out)
    out = tmp_path / 'resumed' / out
    assert interrupt(5, given, '--out', out, '--overlay') == 130
    before = content(out, bags)
    assert before and len(before) < len(content(tmp_path / 'whole' / out.name, bags))
    first, = said_last(capsys)
    assert interrupt(3, given, '--out', out, '--overlay', '--resume') == 130
    second, = said_last(capsys)
    assert [first, second] == [
        f'roadseg segment: interrupted: {count} of {COUNT} frames are in {out}; go on with '
        '--resume' for count in (5, 8)]
    assert segment(given, '--out', out, '--overlay', '--resume', '--json') == failed
    assert content(out, bags) == content(tmp_path / 'whole' / out.name, bags)
    if out.suffix == '.mcap':
        assert out.read_bytes() == (tmp_path / 'whole' / out.name).read_bytes()
    assert left(tmp_path / 'resumed') == [complete_path(out).name]
    found = json.loads(capsys.readouterr().out)
    assert found['resumed'] == 8
    for name in ('frames', 'failed', 'errors', 'sizes', 'made', 'announced'):
        assert found[name] == wanted[name]


@pytest.mark.parametrize('out, at_least', [*zip(OUTPUTS, (9, 5, 9))])
def test_killed_and_resumed(tmp_path, log, segment, checkpoint_path, bags, capsys, out, at_least):
    """`kill -9` after nine frames: of an MCAP file its last chunk is lost, four frames at most."""
    arguments = [log, '--out', tmp_path / 'killed' / out, '--overlay']
    killed = subprocess.run([sys.executable, '-c', KILLED, '9', 'SIGKILL', 'segment',
                             *map(str, arguments), '--checkpoint', str(checkpoint_path),
                             '--device', 'cpu'])
    assert killed.returncode == -signal.SIGKILL
    assert segment(log, '--out', tmp_path / 'whole' / out, '--overlay') == 1
    capsys.readouterr()
    assert segment(*arguments, '--resume', '--json') == 1
    assert at_least <= json.loads(capsys.readouterr().out)['resumed'] <= 9
    assert content(tmp_path / 'killed' / out, bags) == content(tmp_path / 'whole' / out, bags)
    assert left(tmp_path / 'killed') == [complete_path(tmp_path / 'killed' / out).name]


@pytest.mark.parametrize('out', ['masks', 'masks.mcap'])
def test_with_a_cache_it_goes_on_from_a_fresh_start(tmp_path, log, segment, interrupt, bags,
                                                    monkeypatch, capsys, out):
    monkeypatch.setattr(resume, 'FRESH_START', 4)
    monkeypatch.setattr(segment_frames, 'FRESH_START', 4)
    arguments = ['--cache', 'warp', '--cache-interval', '3', '--topic', '/l/image_raw', '--json']
    assert segment(log, '--out', tmp_path / 'whole' / out, *arguments) == 0
    wanted = json.loads(capsys.readouterr().out)
    assert wanted['made'] == {'full': 3, 'warped': 3}
    assert interrupt(5, log, '--out', tmp_path / out, *arguments) == 130
    assert segment(log, '--out', tmp_path / out, *arguments, '--resume') == 0
    found = json.loads(capsys.readouterr().out)
    assert found['resumed'] == 4 and found['made'] == wanted['made']
    assert content(tmp_path / out, bags) == content(tmp_path / 'whole' / out, bags)


@pytest.mark.parametrize('policy, interval', [('off', None), ('recurrent', None), ('warp', '3')])
def test_an_interval_is_of_a_policy_with_a_clock(tmp_path, policy, interval):
    """Where the network runs on every frame another one makes no other run."""
    (tmp_path / 'weights').touch()
    segmenter = SimpleNamespace(device='cpu', engine='torch', cache=CacheSettings(policy),
                                crf=None)
    run = resume.described(
        SimpleNamespace(input=tmp_path / 'weights', out=tmp_path / 'masks', overlay=False),
        SimpleNamespace(kind='video'), segmenter, tmp_path / 'weights')
    assert (run['--cache'], run.get('--cache-interval')) == (policy, interval)


@pytest.mark.parametrize('how, status', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_frame_is_written_waits(tmp_path, images, segment, bags, monkeypatch,
                                                 capsys, how, status):
    """The frame is whole, and the bag finished."""
    write, calls = BagFile.write, iter(range(99))

    def signalled(self, *message):
        if next(calls) == 5:  # the overlay of the third frame
            signal.raise_signal(how)
        write(self, *message)

    monkeypatch.setattr(BagFile, 'write', signalled)
    arguments = [images, '--out', tmp_path / 'masks.mcap', '--overlay']
    if how == signal.SIGTERM:
        with pytest.raises(SystemExit) as ended:
            segment(*arguments)
        assert ended.value.code == status
    else:
        assert segment(*arguments) == status
    assert said_last(capsys) == [f'roadseg segment: interrupted: 2 of {COUNT} frames are in '
                                 f'{tmp_path / "masks.mcap"}; go on with --resume']
    assert len(bags.read(tmp_path / 'masks.mcap')) == 6


def cut_mask(out: Path) -> None:
    """Cut the third mask in its middle."""
    path = out / '03.png'
    path.write_bytes(path.read_bytes()[:-200])


def cut_overlay(out: Path) -> None:
    """Cut the overlay of the third."""
    path = out.with_name('masks_overlay') / '03.jpg'
    path.write_bytes(path.read_bytes()[:-1])


def cut_progress(out: Path) -> None:
    """Cut the line of the last frame."""
    path = progress_path(out)
    path.write_bytes(path.read_bytes()[:-9])


def empty_mask(out: Path) -> None:
    """Leave a mask without content, as a power cut does."""
    (out / '00.png').write_bytes(b'')


@pytest.mark.parametrize('damage, trusted', [
    (cut_mask, 2), (cut_overlay, 2), (cut_progress, 6), (empty_mask, 0)])
def test_what_is_cut_short_is_made_again(tmp_path, images, segment, interrupt, bags, capsys,
                                         damage, trusted):
    segment(images, '--out', tmp_path / 'whole' / 'masks', '--overlay')
    out = tmp_path / 'masks'
    assert interrupt(7, images, '--out', out, '--overlay') == 130
    damage(out)
    capsys.readouterr()
    assert segment(images, '--out', out, '--overlay', '--resume', '--json') == 1
    assert json.loads(capsys.readouterr().out)['resumed'] == trusted
    assert content(out, bags) == content(tmp_path / 'whole' / 'masks', bags)


def test_table_cut_short_is_made_again(tmp_path, video, segment, interrupt, bags, capsys):
    segment(video, '--out', tmp_path / 'whole' / 'masks')
    out = tmp_path / 'masks'
    assert interrupt(7, video, '--out', out) == 130
    table = out / 'frames.csv'
    table.write_bytes(table.read_bytes()[:-3])
    capsys.readouterr()
    assert segment(video, '--out', out, '--resume', '--json') == 0
    assert json.loads(capsys.readouterr().out)['resumed'] == 6
    assert content(out, bags)[-1:] == content(tmp_path / 'whole' / 'masks', bags)[-1:]
    assert (out / 'frames.csv').read_bytes() == (tmp_path / 'whole/masks/frames.csv').read_bytes()


@pytest.mark.parametrize('change, said', [
    (['--overlay'], '--overlay (not given then, given now)'),
    (['--rate', '30'], '--rate (15 then, 30 now)'),
    (['--cache', 'warp'],
     '--cache (off then, warp now), --cache-interval (not given then, 3 now)'),
    (['--engine', 'torch'], '--engine (openvino then, torch now)'),
    (['--engine', 'torch', '--crf'],
     '--engine (openvino then, torch now), --crf (not given then, CrfSettings('),
    ('picture', 'input (12 files, '), ('weights', 'weights (sha256 ')])
def test_another_run_is_refused(tmp_path, images, interrupt, checkpoint, checkpoint_path, capsys,
                                change, said):
    """It names what differs, and nothing is touched."""
    from roadseg_ros.tools.main import main

    assert interrupt(4, images, '--out', tmp_path / 'masks', '--engine', 'openvino') == 130
    before = {path: path.read_bytes() for path in (tmp_path / 'masks').iterdir()}
    options = ['--engine', 'openvino']
    if change == 'picture':
        (images / '07.png').write_bytes(b'another')
    elif change == 'weights':
        tensors = {name: value + 1 for name, value in checkpoint.tensors.items()}
        checkpoint_path = tmp_path / 'other.safetensors'
        type(checkpoint)(checkpoint.architecture, checkpoint.arguments, checkpoint.labels,
                         checkpoint.preprocessing, tensors).save(checkpoint_path)
    else:
        options += change
    capsys.readouterr()
    assert main(['segment', str(images), '--out', str(tmp_path / 'masks'), '--resume',
                 '--checkpoint', str(checkpoint_path), '--device', 'cpu', *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and 'of another run' in lines[0] and f'different: {said}' in lines[0]
    assert before == {path: path.read_bytes() for path in (tmp_path / 'masks').iterdir()}


@pytest.mark.parametrize('out', OUTPUTS)
@pytest.mark.parametrize('cache', [(), ('--cache', 'warp')])
def test_begins_where_there_is_nothing_and_says_what_is_done(tmp_path, images, segment, bags,
                                                             capsys, out, cache):
    """The same command may be given again and again, and touches nothing that is complete."""
    (images / '02.png').unlink()
    out = tmp_path / 'new' / out
    assert segment(images, '--out', out, '--resume', *cache) == 0
    assert left(tmp_path / 'new') == [complete_path(out).name]
    capsys.readouterr()
    before = content(out, bags)
    assert segment(images, '--out', out, '--resume', *cache) == 0
    said = capsys.readouterr()
    assert said.out == f'complete: 11 of 11 done in {out}\n' and not said.err
    assert segment(images, '--out', out, '--resume', '--json', *cache) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found['frames'], found['resumed'], found['fps']) == (11, 11, 0)
    assert content(out, bags) == before and not out.with_name('masks_overlay').exists()


def test_what_is_done_ends_as_it_did(tmp_path, images, segment, capsys):
    """A frame that failed has failed."""
    out = tmp_path / 'masks'
    assert segment(images, '--out', out) == 1
    capsys.readouterr()
    assert segment(images, '--out', out, '--resume', '--report', tmp_path / 'page.html') == 1
    said = capsys.readouterr()
    assert said.out == f'complete: 11 of 12 done in {out}, 1 failed\n'
    assert '02.png: broken' in said.err and 'there is no page' in said.err
    assert segment(images, '--out', out) == 2
    said = capsys.readouterr().err
    assert 'nothing is overwritten' in said and '--resume' not in said


@pytest.mark.parametrize('out', OUTPUTS)
def test_what_is_missing_of_a_complete_run_is_made_again(tmp_path, images, segment, bags, capsys,
                                                         out):
    out = tmp_path / out
    assert segment(images, '--out', out) == 1
    before = content(out, bags)
    (out / '03.png' if out.is_dir() else out).unlink()
    capsys.readouterr()
    assert segment(images, '--out', out, '--resume', '--json') == 1
    assert json.loads(capsys.readouterr().out)['resumed'] == (2 if out.is_dir() else 0)
    assert content(out, bags) == before


def test_a_folder_whose_masks_were_removed_is_empty(tmp_path, images, segment):
    for _ in range(2):
        assert segment(images, '--out', tmp_path / 'masks') == 1
        for mask in (tmp_path / 'masks').glob('*.png'):
            mask.unlink()


@pytest.mark.parametrize('out', OUTPUTS)
def test_complete_with_other_options_is_refused(tmp_path, images, segment, capsys, out):
    assert segment(images, '--out', tmp_path / out) == 1
    capsys.readouterr()
    assert segment(images, '--out', tmp_path / out, '--cache', 'warp', '--resume') == 2
    assert 'different: --cache (off then, warp now)' in capsys.readouterr().err


def test_the_page_of_a_resumed_run_is_of_its_own_frames(tmp_path, images, segment, interrupt):
    """All that it counts is; of the others it says that they are not on it."""
    large = cv2.imread(str(images / '00.png'))
    cv2.imwrite(str(images / '00.png'), np.tile(large, (2, 1, 1)))
    page = tmp_path / 'page.html'
    assert interrupt(4, images, '--out', tmp_path / 'masks') == 130
    assert segment(images, '--out', tmp_path / 'masks', '--resume', '--report', page) == 1
    text = page.read_text()
    assert dict(re.findall('<dt>(.*?)</dt><dd>(.*?)</dd>', text)).items() >= {
        'frames': '7, 0 failed', 'not on this page': '4 frames, done before --resume',
        'sizes': '640x480', 'masks': '7 full'}.items()
    assert '"frames": 7,' in unescape(text) and re.search('<i [^>]*></i>full 7<', text)


@pytest.mark.parametrize('out', OUTPUTS)
def test_without_resume_an_interrupted_run_is_not_overwritten(tmp_path, images, segment,
                                                              interrupt, capsys, out):
    assert interrupt(4, images, '--out', tmp_path / out) == 130
    capsys.readouterr()
    assert segment(images, '--out', tmp_path / out) == 2
    assert 'go on with its run (--resume)' in capsys.readouterr().err
