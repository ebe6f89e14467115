"""
Thousands of malformed and hostile messages for the running node, over DDS.

What is sent follows from a seed, which a failing test's name holds, alone.
"""
from __future__ import annotations

from array import array
import random
import struct
import time
from types import SimpleNamespace
from typing import Any
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402

from roadseg_ros.node.compressed_size import compressed_size  # noqa: E402
from roadseg_ros.node.image_messages import LAYOUTS  # noqa: E402

RAW, PACKED, INFO = '/fuzz/raw', '/fuzz/packed/compressed', '/fuzz/camera_info'
MASKS = {RAW: '/fuzz/segmentation/raw/mask', PACKED: '/fuzz/segmentation/packed/mask'}
PERIOD_SEC = 1 / 15
PACE_SEC = 1 / 150  # between two hostile ones, so that hardly any is displaced unseen
BURST = 12  # hostile messages between two good ones
COMPLAINT_SEC = 5.0
SIDES = (0, 1, 2, 3, 47, 48, 64, 333, 16384, 30_000, 2 ** 31, 2 ** 32 - 1)
ENCODINGS = (*LAYOUTS, '', 'rgb', 'BGR8', '32FC1', '64FC4', 'bgr8 ', 'jpeg', '\x00', 'é' * 40,
             'x' * 70_000, '../../etc/passwd', '%s%n')
STAMPS = (-2 ** 31, -1, 0, 1, 5, 1_700_000_000, 2 ** 31 - 1)
NANOSECONDS = (0, 1, 999_999_999, 10 ** 9, 2 ** 31, 2 ** 32 - 1)
FRAME_IDS = ('', 'camera', '/', 'x' * 60_000, '\x00', 'ÿ€' * 9, 'a b\nc', '${HOME}')
FORMATS = ('', 'jpeg', 'png', 'webp', 'bgr8; png compressed bgr8', '16UC1; compressedDepth png',
           'h264', 'x' * 5000)


class Hostile:
    """
    Messages that no camera should send, some of which are only odd and get a mask.

    :param seed: all of them follow from it.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.sizes: dict[tuple[str, int, int, str], set[tuple[int, int]]] = {}
        """By topic, stamp and frame_id: the (height, width) a mask may have."""

    def message(self) -> tuple[str, Any]:
        """Return the topic and what to publish there, a message or bytes."""
        kind = self._random.choices(
            (self._image, self._odd_image, self._compressed, self._bytes, self._info),
            (6, 2, 6, 4, 1))[0]
        return kind()

    def _pick(self, values: Any) -> Any:
        return self._random.choice(values)

    def _stamp(self, topic: str, message: Any, size: tuple[int, int]) -> None:
        """Give a message a header, and note the size that goes with it."""
        header = message.header
        header.stamp.sec, header.stamp.nanosec = self._pick(STAMPS), self._pick(NANOSECONDS)
        header.frame_id = self._pick(FRAME_IDS)
        self.note(topic, header, size)

    def note(self, topic: str, header: Any, size: tuple[int, int]) -> None:
        """Note the size that goes with a header."""
        # a text ends at its first zero on the wire
        key = topic, header.stamp.sec, header.stamp.nanosec, header.frame_id.partition('\0')[0]
        self.sizes.setdefault(key, set()).add(size)

    def _noise(self, size: int) -> array[int]:
        return array('B', self._random.randbytes(size))

    def _image(self) -> tuple[str, Image]:
        """Return fields that hardly ever fit each other."""
        height, width = self._pick(SIDES), self._pick(SIDES)
        step = self._pick((0, 1, width, width * 3, width * 3 + 7, 2 ** 32 - 1))
        wanted = height * step
        size = self._pick((0, 1, wanted - 1, wanted, wanted + 1, 5000))
        message = Image(height=height, width=width, step=min(step, 2 ** 32 - 1),
                        encoding=self._pick(ENCODINGS), is_bigendian=self._pick((0, 1, 2, 255)),
                        data=self._noise(min(max(size, 0), 400_000)))
        self._stamp(RAW, message, (height, width))
        return RAW, message

    def _odd_image(self) -> tuple[str, Image]:
        """Return a picture that is right, of an odd shape or encoding, perhaps cut or too long."""
        height, width = self._pick(
            ((1, 1), (1, 30_000), (30_000, 1), (2, 16_384), (600, 800), (2, 2), (37, 53)))
        encoding = self._pick(tuple(LAYOUTS))
        layout = LAYOUTS[encoding]
        step = width * layout.channels * layout.bytes_per_sample + self._pick((0, 0, 5))
        size = int(height * layout.planes) * step + self._pick((0, 0, 0, -1, 1, 4096))
        message = Image(height=height, width=width, step=step, encoding=encoding,
                        is_bigendian=self._pick((0, 1)), data=self._noise(max(size, 0)))
        self._stamp(RAW, message, (height, width))
        return RAW, message

    def _compressed(self) -> tuple[str, CompressedImage]:
        """Return a picture that is no picture, broken, cut short, or a decompression bomb."""
        data = self._pick((self._bomb, self._broken, self._file))()
        message = CompressedImage(format=self._pick(FORMATS), data=array('B', data))
        self._stamp(PACKED, message, compressed_size(data) or (0, 0))
        return PACKED, message

    def _file(self) -> bytes:
        """Return a good picture, or noise."""
        picture = np.frombuffer(self._random.randbytes(3 * 20 * 30), np.uint8).reshape(20, 30, 3)
        suffix = self._pick(('.png', '.jpg', '.webp', '.bmp', '.tiff', ''))
        return cv2.imencode(suffix, picture)[1].tobytes() if suffix else bytes(
            self._noise(self._pick((0, 1, 3, 500))))

    def _broken(self) -> bytes:
        """Return a picture with some bytes changed, or its end cut off."""
        data = bytearray(self._file())
        for _ in range(self._random.randrange(5)):
            if data:
                data[self._random.randrange(len(data))] = self._random.randrange(256)
        return bytes(data[:self._random.randrange(len(data) + 1)])

    def _bomb(self) -> bytes:
        """Return a few bytes that say they are a picture of up to gigapixels."""
        height, width = self._pick((30_000, 65_535, 2 ** 31 - 1)), self._pick((1, 30_000, 65_535))
        png = b'\x89PNG\r\n\x1a\n' + _chunk(b'IHDR', struct.pack(
            '>IIBBBBB', width, height, 8, 2, 0, 0, 0))
        png += _chunk(b'IDAT', zlib.compress(bytes(self._pick((100, 3_000_000))), 9))
        jpeg = b'\xff\xd8\xff\xc0\x00\x11\x08' + struct.pack(
            '>HH', height & 0xFFFF, width & 0xFFFF) + bytes(40)
        vp8x = b'RIFF\x00\x10\x00\x00WEBPVP8X\n\x00\x00\x00' + bytes(4) + b'\xff' * 6
        vp8l = b'RIFF\x00\x10\x00\x00WEBPVP8L\x00\x10\x00\x00\x2f\xff\xff\xff\x0f' + bytes(60)
        return self._pick((png, png + _chunk(b'IEND', b''), jpeg, vp8x, vp8l))

    def _bytes(self) -> tuple[str, bytes]:
        """
        Return bytes that are no message.

        Nothing of them can be a frame: a message that is changed at random has no pixels, one that
        is cut short lacks some.
        """
        topic = self._pick((RAW, PACKED, INFO))
        kind = {RAW: Image, PACKED: CompressedImage, INFO: CameraInfo}[topic]
        cut, message = self._random.random() < 0.3, kind()
        if cut and topic != INFO:
            message.data = self._noise(300)
        data = bytearray(serialize_message(message))
        if cut:
            return topic, bytes(data[:self._random.randrange(1, len(data) - 4)])
        if self._random.random() < 0.3:
            return topic, self._random.randbytes(self._pick((1, 3, 4, 5, 40, 3000)))
        for _ in range(1 + self._random.randrange(8)):
            data[self._random.randrange(len(data))] = self._pick((0, 1, 127, 128, 255))
        return topic, bytes(data)

    def _info(self) -> tuple[str, CameraInfo]:
        """Return a calibration of nothing."""
        message = CameraInfo(height=self._pick(SIDES), width=self._pick(SIDES),
                             d=[float('nan')] * self._pick((0, 5, 3000)),
                             k=[self._pick((0.0, float('inf'), -1e308))] * 9)
        self._stamp(INFO, message, (0, 0))
        return INFO, message


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + kind + data + struct.pack(
        '>I', zlib.crc32(kind + data))


@pytest.fixture(scope='module')
def node(start_node, peer):
    """Return the node all this is thrown at."""
    process = start_node(image_topics=f"['{RAW}','{PACKED}']")
    peer.wait(lambda: 'waiting for frames' in process.log, 'the node', 60)
    return process


@pytest.fixture(scope='module')
def talk(node, peer):
    """Return the publishers by topic, and what comes back."""
    kinds = {RAW: Image, PACKED: CompressedImage, INFO: CameraInfo}
    return SimpleNamespace(
        diagnostics=peer.collect(DiagnosticArray, '/diagnostics'),
        masks={topic: peer.collect(Image, mask, 500) for topic, mask in MASKS.items()},
        publishers={topic: peer.publisher(kind, topic, 100) for topic, kind in kinds.items()})


def values(talk, topic):
    """Return the latest diagnostics of a camera."""
    return next(({value.key: value.value for value in status.values}
                 for message in reversed(talk.diagnostics) for status in message.status
                 if status.name == f'roadseg: {topic}'), {})


def next_values(peer, talk, topic):
    """Return the diagnostics of a camera after the frames so far."""
    count = len(talk.diagnostics)
    peer.wait(lambda: len(talk.diagnostics) > count + 1, 'diagnostics')
    return values(talk, topic)


def serve(peer, talk, hostile, topic, picture):
    """Send a good frame once; return its mask and the seconds that it took."""
    message = (peer.image if topic == RAW else peer.compressed)(picture, 'good')
    hostile.note(topic, message.header, picture.shape[:2])
    started = time.perf_counter()
    mask = peer.exchange(talk.publishers[topic], message, talk.masks[topic], 10)
    return mask, time.perf_counter() - started


def assert_fits(mask, sizes, where):
    """Hold a mask against the frames that could have caused it."""
    stamp = mask.header.stamp
    key = where, stamp.sec, stamp.nanosec, mask.header.frame_id
    assert key in sizes, f'a mask of no frame: {key}'
    assert (mask.height, mask.width) in sizes[key]
    assert (mask.encoding, mask.step, len(mask.data)) == (
        'mono8', mask.width, mask.width * mask.height)


@pytest.mark.timeout(600)
@pytest.mark.parametrize('seed, count, policy', [
    (1, 500, 'off'), (2, 300, 'warp'),
    *(pytest.param(seed, 2000, policy, marks=pytest.mark.slow)
      for seed, policy in enumerate(('off', 'warp', 'adaptive', 'corrected'), 3))])
def test_what_the_wire_brings(peer, node, talk, segmenter, picture, seed, count, policy):
    """It lives on, every mask fits its frame, faults are said, the next good frame is served."""
    assert peer.set_parameter('cache.policy', policy) == (True, '')
    hostile, seconds, started = Hostile(seed), [], time.monotonic()
    before = {topic: next_values(peer, talk, topic) for topic in MASKS}
    said = node.log.count('[ERROR]')
    for masks in talk.masks.values():
        masks.clear()
    for index in range(count):
        topic, message = hostile.message()
        talk.publishers[topic].publish(message)
        peer.take_for(PACE_SEC)
        if index % BURST == BURST - 1:
            for topic in MASKS:
                mask, took = serve(peer, talk, hostile, topic, picture)
                assert node.alive(), f'message {index}'
                seconds.append(took)
                if policy == 'off':
                    wanted = segmenter.segment([picture])[0].class_ids
                    np.testing.assert_array_equal(
                        np.frombuffer(mask.data, np.uint8).reshape(wanted.shape), wanted)
    for topic, masks in talk.masks.items():
        for mask in masks:
            assert_fits(mask, hostile.sizes, topic)
    assert np.percentile(seconds, 80) < PERIOD_SEC, seconds
    for topic in MASKS:
        after = next_values(peer, talk, topic)
        failed = int(after['failed']) - int(before[topic]['failed'])
        assert failed > count / 6 and 0 < len(after['last_error']) < 1000
    allowed = (time.monotonic() - started) / COMPLAINT_SEC + 1
    assert 2 <= node.log.count('[ERROR]') - said <= len(MASKS) * allowed
    assert max(map(len, node.log.splitlines())) < 1000
    for word in ('Traceback', 'worker:', 'segmentation failed'):
        assert word not in node.log


def test_an_empty_payload_stops_its_sender_alone(peer, node, talk, picture):
    """Fast DDS sends nothing more for a publisher that once sent nothing."""
    stranger = peer.publisher(Image, RAW)
    stranger.publish(b'')
    for _ in range(3):
        for topic in MASKS:
            serve(peer, talk, Hostile(0), topic, picture)
    peer.node.destroy_publisher(stranger)
    assert node.alive()
