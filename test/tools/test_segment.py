"""`roadseg segment` end to end: exact masks, names, sizes, stamps, and what bad input does."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest

from roadseg_ros.inference.crf import CrfSettings
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.overlay import blend
from roadseg_ros.tools.bag_file import BagFile, SinkError

STAMPS_NS = tuple(1_700_000_000_123_456_789 + index * 66_666_667 for index in range(4))


def test_folder_of_images(tmp_path, pictures, segment, mask_of, read_mask, capsys, labels):
    folder, out = tmp_path / 'in', tmp_path / 'masks'
    folder.mkdir()
    wide = cv2.resize(pictures[1], (101, 75), interpolation=cv2.INTER_NEAREST)
    inputs = {'a.png': pictures[0], 'b.bmp': wide, 'c.png': pictures[2]}
    for name, picture in inputs.items():
        cv2.imwrite(str(folder / name), picture)
    assert segment(folder, '--out', out, '--overlay', '--json') == 0
    assert sorted(path.name for path in out.glob('[!.]*')) == ['a.png', 'b.png', 'c.png']
    for name, picture in inputs.items():
        mask = read_mask(out / f'{name[0]}.png')
        assert mask.shape == picture.shape[:2]
        np.testing.assert_array_equal(mask, mask_of(picture))
        overlay = cv2.imread(str(tmp_path / 'masks_overlay' / f'{name[0]}.jpg'))
        wanted = blend(picture, mask, labels.color_table[:, ::-1].copy(), 0.5)
        assert overlay.shape == picture.shape
        assert np.abs(overlay.astype(int) - wanted).mean() < 12  # JPEG, of hard edges
    summary = json.loads(capsys.readouterr().out)
    assert summary['frames'] == 3 and summary['failed'] == 0 and summary['device'] == 'cpu'
    assert summary['sizes'] == {'64x48': 2, '101x75': 1} and summary['engine']


def test_with_a_crf(tmp_path, pictures, segment, mask_of, read_mask, checkpoint, capsys):
    """Masks are those of the segmenter with the CRF, and the summary names what it costs."""
    folder = tmp_path / 'in'
    folder.mkdir()
    for index in range(2):
        cv2.imwrite(str(folder / f'{index}.png'), pictures[index])
    assert segment(folder, '--out', tmp_path / 'masks', '--crf', '--json') == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary['engine'] == 'torch' and summary['crf_ms'] > 0
    refined = Segmenter(checkpoint, device='cpu', crf=CrfSettings())
    for index in range(2):
        mask = read_mask(tmp_path / 'masks' / f'{index}.png')
        np.testing.assert_array_equal(mask, refined.segment([pictures[index]])[0].class_ids)
        assert (mask != mask_of(pictures[index])).any()
    assert segment(folder, '--out', tmp_path / 'text', '--crf') == 0
    assert ' (torch), CRF ' in capsys.readouterr().out
    assert segment(folder, '--out', tmp_path / 'plain', '--json') == 0
    assert json.loads(capsys.readouterr().out)['crf_ms'] is None


@pytest.mark.parametrize('options, reason', [
    (['--engine', 'openvino'], 'which engine openvino does not give; use engine torch'),
    (['--cache', 'warp'], 'with it the cache policy is off, not warp'),
    (['--frames', '1'], 'each as the network sees it: leave --crf out'),
    (['--compare-cache'], 'writes no pictures of frames: leave --crf out')])
def test_a_crf_where_there_can_be_none(tmp_path, picture, segment, capsys, options, reason):
    """It is refused in one line, before anything is written."""
    cv2.imwrite(str(tmp_path / 'one.png'), picture)
    assert segment(tmp_path / 'one.png', '--out', tmp_path / 'masks', '--crf', *options) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count('\n') == 1
    assert not list((tmp_path / 'masks').glob('*'))


def test_broken_file_among_good_ones(tmp_path, picture, segment, mask_of, read_mask, capfd):
    folder, out = tmp_path / 'in', tmp_path / 'masks'
    folder.mkdir()
    for name in 'ac':
        cv2.imwrite(str(folder / f'{name}.png'), picture)
    (folder / 'b.png').write_bytes((folder / 'a.png').read_bytes()[:200])
    assert segment(folder, '--out', out) == 1
    assert sorted(path.name for path in out.glob('[!.]*')) == ['a.png', 'c.png']
    np.testing.assert_array_equal(read_mask(out / 'c.png'), mask_of(picture))
    printed = capfd.readouterr()
    assert [line for line in printed.err.splitlines() if line.strip()] == [
        'roadseg segment: b.png: broken, cut short or not an image; supported: '
        '.png .jpg .jpeg .bmp .tif .tiff .webp']
    assert '2 written' in printed.out and '1 failed' in printed.out


def test_single_image(tmp_path, picture, segment, mask_of, read_mask):
    cv2.imwrite(str(tmp_path / 'one.png'), picture)
    assert segment(tmp_path / 'one.png', '--out', tmp_path / 'masks') == 0
    np.testing.assert_array_equal(read_mask(tmp_path / 'masks' / 'one.png'), mask_of(picture))


def test_video(tmp_path, pictures, segment, mask_of, read_mask):
    path, out = tmp_path / 'drive.avi', tmp_path / 'masks'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for picture in pictures:
        writer.write(picture)
    writer.release()
    assert segment(path, '--out', out) == 0
    rows = list(csv.DictReader((out / 'frames.csv').open()))
    assert [(row['file'], row['stamp_ns']) for row in rows] == [
        (f'frame_{index:06d}.png', str(index * 100_000_000)) for index in range(4)]
    capture = cv2.VideoCapture(str(path))
    for row in rows:
        np.testing.assert_array_equal(read_mask(out / row['file']), mask_of(capture.read()[1]))


def camera_messages(bags, pictures, kind):
    """Return the log of a camera: bag times are 1 ms after the stamps."""
    make = {'jpeg': lambda *message: bags.compressed(*message, 'jpeg'),
            'png': lambda *message: bags.compressed(*message, 'png'),
            'bgr8': bags.raw, 'rgb8': lambda *message: bags.raw(*message, 'rgb8')}[kind]
    topic = '/camera/front/image_raw' + ('/compressed' if kind in ('jpeg', 'png') else '')
    return [(topic, stamp_ns + 1_000_000, make(picture, stamp_ns))
            for picture, stamp_ns in zip(pictures, STAMPS_NS, strict=True)]


def seen(pictures, kind):
    """Return the pictures as they come out of their messages."""
    if kind != 'jpeg':
        return pictures
    return [cv2.imdecode(cv2.imencode('.jpeg', picture)[1], cv2.IMREAD_COLOR)
            for picture in pictures]


@pytest.mark.parametrize('storage', ['mcap', 'db3'])
@pytest.mark.parametrize('kind', ['bgr8', 'rgb8', 'jpeg', 'png'])
def test_bag_to_folder(tmp_path, pictures, bags, segment, mask_of, read_mask, storage, kind):
    messages = camera_messages(bags, pictures, kind)
    bag, out = bags.write(tmp_path / 'log', messages, storage), tmp_path / 'masks'
    assert segment(bag, '--out', out) == 0
    rows = list(csv.DictReader((out / 'frames.csv').open()))
    assert [(row['file'], row['stamp_ns'], row['frame_id'], row['bag_time_ns']) for row in rows] \
        == [(f'{messages[0][0][1:]}/{stamp_ns}.png', str(stamp_ns), 'front',
             str(stamp_ns + 1_000_000)) for stamp_ns in STAMPS_NS]
    for row, picture in zip(rows, seen(pictures, kind), strict=True):
        np.testing.assert_array_equal(read_mask(out / row['file']), mask_of(picture))


@pytest.mark.parametrize('suffix', ['.mcap', '.db3'])
def test_bag_to_bag(tmp_path, pictures, bags, segment, mask_of, suffix):
    bag = bags.write(tmp_path / 'log', camera_messages(bags, pictures, 'bgr8'))
    out = tmp_path / f'out{suffix}'
    assert segment(bag, '--out', out, '--overlay') == 0
    messages = bags.read(out)
    masks = [message for message in messages if message[0].endswith('/mask')]
    assert {topic for topic, _, _ in messages} == {
        '/camera/front/segmentation/mask', '/camera/front/segmentation/overlay/compressed'}
    assert len(messages) == 8
    for (_, bag_time_ns, mask), stamp_ns, picture in zip(masks, STAMPS_NS, pictures,
                                                         strict=True):
        stamp = mask.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == stamp_ns
        assert mask.header.frame_id == 'front' and bag_time_ns == stamp_ns + 1_000_000
        assert (mask.height, mask.width, mask.step, mask.encoding) == (48, 64, 64, 'mono8')
        np.testing.assert_array_equal(mask.data.reshape(48, 64), mask_of(picture))
    overlay = next(message for topic, _, message in messages if 'overlay' in topic)
    assert overlay.header.stamp == masks[0][2].header.stamp
    assert cv2.imdecode(overlay.data, cv2.IMREAD_COLOR).shape == (48, 64, 3)


def test_images_to_bag(tmp_path, pictures, bags, segment, mask_of):
    folder = tmp_path / 'in'
    folder.mkdir()
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f'{index}.png'), picture)
    assert segment(folder, '--out', tmp_path / 'out.mcap', '--rate', 20) == 0
    messages = bags.read(tmp_path / 'out.mcap')
    assert [(topic, time) for topic, time, _ in messages] == [
        ('/camera/segmentation/mask', index * 50_000_000) for index in range(4)]
    for (_, _, message), picture in zip(messages, pictures, strict=True):
        np.testing.assert_array_equal(message.data.reshape(48, 64), mask_of(picture))


def test_bad_message_among_good_ones(tmp_path, pictures, bags, segment, capfd):
    messages = camera_messages(bags, pictures, 'bgr8')
    messages[1][2].step = 3
    messages[2][2].encoding = 'sepia'
    out = tmp_path / 'masks'
    assert segment(bags.write(tmp_path / 'log', messages), '--out', out) == 1
    assert sorted(path.stem for path in out.rglob('*.png')) == [
        str(STAMPS_NS[0]), str(STAMPS_NS[3])]
    lines = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 2
    assert f'/camera/front/image_raw at {STAMPS_NS[1]}: step 3' in lines[0]
    assert "'sepia'; supported: bgr8" in lines[1]


def test_damage_in_the_middle_keeps_what_came_before(tmp_path, pictures, bags, segment, capfd):
    bag = bags.write(tmp_path / 'log', [
        ('/cam', index, bags.raw(np.roll(pictures[0], index, 0), index)) for index in range(200)])
    path = bag / 'log.mcap'
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3:len(data) * 2 // 3 + 40_000] = b'\xff' * 40_000
    path.write_bytes(data)
    assert segment(path, '--out', tmp_path / 'masks') == 2
    assert 0 < len(list((tmp_path / 'masks').rglob('*.png'))) < 200
    printed = capfd.readouterr()
    assert len(printed.err.splitlines()) == 1 and 'cut short, damaged' in printed.err
    assert 'written' in printed.out


@pytest.mark.parametrize('name', ['missing', 'truncated', 'foreign', 'pickled'])
def test_bad_checkpoint(tmp_path, picture, checkpoint_path, name, capfd):
    from roadseg_ros.tools.main import main

    cv2.imwrite(str(tmp_path / 'one.png'), picture)
    path = tmp_path / f'{name}.safetensors'
    content = {'truncated': checkpoint_path.read_bytes()[:-9], 'foreign': b'GIF89a' * 9,
               'pickled': b'\x80\x02}q\x00.'}
    if name in content:
        path.write_bytes(content[name])
    status = main(['segment', str(tmp_path / 'one.png'), '--out', str(tmp_path / 'masks'),
                   '--checkpoint', str(path)])
    error = capfd.readouterr().err
    assert status == 2 and len(error.splitlines()) == 1
    assert error.startswith('roadseg segment: ') and path.name in error
    assert not (tmp_path / 'masks').exists()


@pytest.mark.parametrize('options, said', [
    (('--device', 'tpu'), 'supported: auto, cpu'), (('--engine', 'steam'), 'supported: auto')])
def test_unknown_device_or_engine(tmp_path, picture, checkpoint_path, options, said, capfd):
    from roadseg_ros.tools.main import main

    cv2.imwrite(str(tmp_path / 'one.png'), picture)
    assert main(['segment', str(tmp_path / 'one.png'), '--out', str(tmp_path / 'masks'),
                 '--checkpoint', str(checkpoint_path), *options]) == 2
    assert said in capfd.readouterr().err


def test_video_cut_short_is_said(tmp_path, pictures, segment, capfd):
    path = tmp_path / 'drive.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for picture in pictures * 25:
        writer.write(picture)
    writer.release()
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size * 0.97)])
    assert segment(path, '--out', tmp_path / 'masks') == 2
    printed = capfd.readouterr()
    written = len(list((tmp_path / 'masks').glob('*.png')))
    assert 90 < written < 100
    assert f'ends after {written} of the 100 frames it announces' in printed.err
    assert f'{written} written' in printed.out and 'announces 100' in printed.out


def test_bag_in_capitals_is_a_bag(tmp_path, pictures, bags, segment, capfd):
    bag = bags.write(tmp_path / 'log', camera_messages(bags, pictures, 'bgr8'))
    assert segment(bag, '--out', tmp_path / 'OUT.MCAP') == 0
    assert len(bags.read(tmp_path / 'OUT.mcap')) == 4
    assert 'OUT.mcap' in capfd.readouterr().out


def test_hostile_stamp_is_carried_through(tmp_path, pictures, bags, segment):
    messages = camera_messages(bags, pictures, 'bgr8')
    hostile = messages[1][2].header.stamp
    hostile.sec, hostile.nanosec = 2**31 - 1, 2**32 - 1
    assert segment(bags.write(tmp_path / 'log', messages), '--out', tmp_path / 'out.mcap') == 0
    stamps = [message.header.stamp for _, _, message in bags.read(tmp_path / 'out.mcap')]
    assert len(stamps) == 4
    assert (stamps[1].sec, stamps[1].nanosec) == (2**31 - 1, 2**32 - 1)


def test_name_no_file_can_have_is_that_frames_error(tmp_path, pictures, bags, segment, capfd):
    messages = camera_messages(bags, pictures, 'bgr8')
    bag = bags.write(tmp_path / 'log', [*messages, (f'/{"a" * 300}', 9, messages[0][2])])
    assert segment(bag, '--out', tmp_path / 'masks') == 1
    assert len(list((tmp_path / 'masks').rglob('*.png'))) == 4
    assert 'too long' in capfd.readouterr().err


def test_full_disk_is_one_line(tmp_path, pictures, bags, segment, monkeypatch, capfd):
    def full(self, topic, time_ns, data):
        raise SinkError('cannot write out.mcap: No space left on device')

    monkeypatch.setattr(BagFile, 'write', full)
    bag = bags.write(tmp_path / 'log', camera_messages(bags, pictures, 'bgr8'))
    assert segment(bag, '--out', tmp_path / 'out.mcap') == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        'roadseg segment: cannot write out.mcap: No space left on device')


def test_what_is_left_out_is_one_line(tmp_path, pictures, bags, segment, capfd):
    messages = camera_messages(bags, pictures, 'bgr8')
    bag = bags.write(tmp_path / 'log', [
        *messages, ('/camera/front/segmentation/color_mask', 9, messages[0][2])])
    assert segment(bag, '--out', tmp_path / 'masks') == 0
    assert [line for line in capfd.readouterr().err.splitlines() if 'left out' in line] == [
        'roadseg segment: left out /camera/front/segmentation/color_mask (output of the node); '
        'choose with --topic']
