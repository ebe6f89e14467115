"""Bags and pictures made to harm: nothing outside the output, nothing without bound."""
import struct
import zlib

import numpy as np
import pytest

from roadseg_ros.tools.progress import complete_path
from roadseg_ros.tools.sources import read_picture, SourceError


@pytest.mark.parametrize('out', ['masks', 'masks.mcap'])
def test_no_topic_leads_out_of_the_output(tmp_path, picture, bags, segment, out):
    hostile = ['/../../x', '/../../../../../../tmp/roadseg_hostile/x', '/a/../../b', '//etc/x',
               '/./..', '/c\\..\\d', '/~/.ssh/x', '/e/\x00f']
    bag = bags.write(tmp_path / 'in' / 'log', [
        (topic, index, bags.raw(picture, index)) for index, topic in enumerate(hostile)])
    before = {path for path in tmp_path.rglob('*')}
    work = tmp_path / 'deep' / 'er'
    work.mkdir(parents=True)
    arguments = [part for topic in hostile for part in ('--topic', topic)]
    assert segment(bag, '--out', work / out, *arguments) in (0, 1, 2)
    new = {path for path in tmp_path.rglob('*')} - before - {
        work, work.parent, complete_path(work / out)}
    assert all((work / out) in (path, *path.parents) for path in new), new
    if out == 'masks':
        assert len(list(work.rglob('*.png'))) == len(hostile)


def png(height, width):
    """Return a picture of a few bytes that says it is large."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack(
            '>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header)
            + chunk(b'IDAT', zlib.compress(bytes(1000))) + chunk(b'IEND', b''))


@pytest.mark.parametrize('size', [(30_000, 30_000), (2 ** 31 - 1, 2 ** 31 - 1), (1, 2 ** 26)])
def test_a_decompression_bomb_is_not_decoded(tmp_path, size):
    path = tmp_path / 'bomb.png'
    path.write_bytes(png(*size))
    with pytest.raises(SourceError, match='pixels, more than the limit of 33554432'):
        read_picture(path)


def test_a_large_picture_within_the_limit_is_read(tmp_path):
    import cv2
    path = tmp_path / 'large.png'
    cv2.imwrite(str(path), np.zeros((3000, 4000, 3), np.uint8))
    assert read_picture(path).shape == (3000, 4000, 3)
