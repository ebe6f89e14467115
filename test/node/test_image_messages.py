"""Image messages in and out: content, memory and the words of each error."""
from array import array
import struct
import sys
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

from roadseg_ros.node.image_messages import (
    decode_compressed,
    ImageMessageError,
    LAYOUTS,
    to_bgr,
    to_compressed_message,
    to_image_message,
)

HEIGHT, WIDTH = 4, 6
HOT = (1, 2)
BLUE, GREEN, RED = 10, 120, 230
CHANNELS = {
    'bgr': (BLUE, GREEN, RED), 'rgb': (RED, GREEN, BLUE), 'mono': (GREEN,), '8UC1': (GREEN,),
    'bgra': (BLUE, GREEN, RED, 99), 'rgba': (RED, GREEN, BLUE, 99), '16UC1': (GREEN,),
    '8UC3': (BLUE, GREEN, RED), '8UC4': (BLUE, GREEN, RED, 99),
}
ONE_HOT = ['bgr8', 'rgb8', 'bgra8', 'rgba8', 'mono8', '8UC1', '8UC3', '8UC4',
           'bgr16', 'rgb16', 'bgra16', 'rgba16', 'mono16', '16UC1']
BAYER = ['rggb', 'bggr', 'gbrg', 'grbg']
# BT.601 in the video range, as cameras send it: Y, U, V of pure red, green, blue and white.
YUV_COLORS = {(0, 0, 255): (81, 90, 240), (0, 255, 0): (145, 54, 34),
              (255, 0, 0): (41, 240, 110), (255, 255, 255): (235, 128, 128)}
YUV_ORDER = {'uyvy': 'uyvy', 'yuv422': 'uyvy', 'yuyv': 'yuyv', 'yuv422_yuy2': 'yuyv'}


def image(encoding, rows, width, height=None, *, big_endian=False, padding=0, data=bytes):
    """Lay out rows of samples as a message; 16-bit samples get a low byte that must not show."""
    if encoding.endswith('16') or encoding.startswith('16'):
        order = '>' if big_endian else '<'
        rows = [struct.pack(f'{order}{len(row)}H', *(value << 8 | 0xA7 for value in row))
                for row in rows]
    lines = [bytes(row) + b'\xEE' * padding for row in rows]
    return SimpleNamespace(
        header=None, height=len(rows) if height is None else height, width=width,
        encoding=encoding, is_bigendian=int(big_endian), step=len(lines[0]),
        data=data(b''.join(lines)))


def one_hot(encoding, **layout):
    name = encoding if encoding in CHANNELS else encoding.rstrip('0123456789')
    hot = CHANNELS[name]
    rows = [[0 if (v, u) != HOT else value for u in range(WIDTH) for value in hot]
            for v in range(HEIGHT)]
    return image(encoding, rows, WIDTH, **layout)


def compressed(data, declared='jpeg'):
    return SimpleNamespace(header=None, format=declared, data=bytes(data))


def ros_array(data):
    return array('B', data)


def numpy_array(data):
    return np.frombuffer(data, np.uint8)


@pytest.mark.parametrize('data', [bytes, ros_array, numpy_array])
@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('padding', [0, 1, 10])
@pytest.mark.parametrize('encoding', ONE_HOT)
def test_one_hot_pixel(encoding, padding, big_endian, data):
    picture = to_bgr(one_hot(encoding, padding=padding, big_endian=big_endian, data=data))
    expected = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    grey = 'mono' in encoding or encoding.endswith('C1')
    expected[HOT] = GREEN if grey else (BLUE, GREEN, RED)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('padding', [0, 3])
@pytest.mark.parametrize('depth', [8, 16])
@pytest.mark.parametrize('pattern', BAYER)
def test_bayer(pattern, depth, padding, big_endian):
    value = {'r': RED, 'g': GREEN, 'b': BLUE}
    rows = [[value[pattern[v % 2 * 2 + u % 2]] for u in range(WIDTH)] for v in range(HEIGHT)]
    picture = to_bgr(image(
        f'bayer_{pattern}{depth}', rows, WIDTH, padding=padding, big_endian=big_endian))
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert (picture == (BLUE, GREEN, RED)).all()


@pytest.mark.parametrize('padding', [0, 3])
@pytest.mark.parametrize('encoding', YUV_ORDER)
def test_yuv422(encoding, padding):
    rows = []
    for y, u, v in YUV_COLORS.values():
        luma, chroma = iter([y, y]), iter([u, v])
        rows.append([next(luma if name == 'y' else chroma) for name in YUV_ORDER[encoding]])
    picture = to_bgr(image(encoding, rows, 2, padding=padding))
    expected = np.repeat(np.array(list(YUV_COLORS), int)[:, None], 2, axis=1)
    assert picture.shape == expected.shape
    np.testing.assert_allclose(picture, expected, atol=2)


@pytest.mark.parametrize('padding', [0, 3])
@pytest.mark.parametrize('encoding', ['nv12', 'nv21'])
def test_yuv420(encoding, padding):
    luma, chroma = [], []
    for y, u, v in YUV_COLORS.values():
        luma += [[y] * 4] * 2
        chroma += [[u, v, u, v] if encoding == 'nv12' else [v, u, v, u]]
    picture = to_bgr(image(encoding, luma + chroma, 4, height=8, padding=padding))
    expected = np.repeat(np.repeat(np.array(list(YUV_COLORS), int)[:, None], 4, 1), 2, 0)
    assert picture.shape == expected.shape
    np.testing.assert_allclose(picture, expected, atol=2)


def test_every_encoding_of_the_table_is_tested():
    bayer = {f'bayer_{pattern}{depth}' for pattern in BAYER for depth in (8, 16)}
    assert set(LAYOUTS) == {*ONE_HOT, *YUV_ORDER, *bayer, 'nv12', 'nv21'}


@pytest.mark.parametrize('padding', [0, 10])
@pytest.mark.parametrize('encoding', ['bgr8', '8UC3'])
def test_bgr_is_a_view(encoding, padding):
    message = one_hot(encoding, padding=padding, data=ros_array)
    assert np.shares_memory(to_bgr(message), np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize(('fields', 'text'), [
    ({'width': 0}, 'the image is empty: 0x480 pixels'),
    ({'height': 0}, 'the image is empty: 640x0 pixels'),
    ({'step': 100}, 'step 100 is less than 640 x 3 bytes'),
    ({'encoding': 'mono16', 'step': 1279}, 'step 1279 is less than 640 x 2 bytes'),
    ({'data': bytes(12)}, 'bgr8 640x480 with step 1920 needs 921600 bytes, got 12'),
    ({'data': b''}, 'bgr8 640x480 with step 1920 needs 921600 bytes, got 0'),
    ({'encoding': 'nv12', 'step': 640, 'data': bytes(640 * 480)},
     'nv12 640x480 with step 640 needs 460800 bytes, got 307200'),
    ({'encoding': 'uyvy', 'width': 639}, 'uyvy needs an even width, got 639x480'),
    ({'encoding': 'nv12', 'height': 479}, 'nv12 needs an even width and height, got 640x479'),
    ({'width': 8192, 'height': 4097},
     'the image has 8192x4097 pixels, more than the limit of 33554432'),
    ({'encoding': 'jpeg'}, "unknown encoding 'jpeg'; supported: " + ', '.join(LAYOUTS)),
    ({'encoding': ''}, "unknown encoding ''; supported: " + ', '.join(LAYOUTS)),
])
def test_errors(fields, text, monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    good = {'height': 480, 'width': 640, 'encoding': 'bgr8', 'is_bigendian': 0, 'step': 1920,
            'data': bytes(921600)}
    assert to_bgr(SimpleNamespace(**good)).shape == (480, 640, 3)
    with pytest.raises(ImageMessageError) as caught:
        to_bgr(SimpleNamespace(**{**good, **fields}))
    assert str(caught.value) == text


def test_max_pixels_is_the_callers():
    message = one_hot('bgr8')
    assert to_bgr(message, max_pixels=HEIGHT * WIDTH).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ImageMessageError, match='6x4 pixels, more than the limit of 23'):
        to_bgr(message, max_pixels=HEIGHT * WIDTH - 1)


def cv_bridge_stand_in(convert):
    module = ModuleType('cv_bridge')
    module.CvBridge = lambda: SimpleNamespace(imgmsg_to_cv2=convert)
    return module


def test_other_encodings_go_to_cv_bridge(monkeypatch):
    calls = []

    def convert(message, encoding):
        calls.append((message, encoding))
        return np.full((HEIGHT, WIDTH, 3), 7, np.uint8)

    monkeypatch.setitem(sys.modules, 'cv_bridge', cv_bridge_stand_in(convert))
    message = image('nv24', [[0] * WIDTH] * HEIGHT, WIDTH)
    assert (to_bgr(message) == 7).all()
    assert calls == [(message, 'bgr8')]
    to_bgr(one_hot('rgb8'))
    assert len(calls) == 1


def test_what_cv_bridge_refuses_is_our_error(monkeypatch):
    def convert(message, encoding):
        raise RuntimeError('[32FC1] is not a color format')

    monkeypatch.setitem(sys.modules, 'cv_bridge', cv_bridge_stand_in(convert))
    with pytest.raises(ImageMessageError) as caught:
        to_bgr(image('32FC1', [[0] * WIDTH * 4] * HEIGHT, WIDTH))
    assert str(caught.value).startswith(
        "cv_bridge cannot convert encoding '32FC1': [32FC1] is not a color format; supported")


def smooth(height=48, width=64):
    v, u = np.mgrid[:height, :width]
    return np.dstack([u * 3, v * 4, 255 - u * 2]).astype(np.uint8)


@pytest.mark.parametrize(('extension', 'declared', 'tolerance'), [
    ('.png', 'png', 0),
    ('.png', 'bgr8; png compressed bgr8', 0),
    ('.webp', 'webp', 12),
    ('.jpeg', 'jpeg', 12),
    ('.jpeg', 'rgb8; jpeg compressed bgr8', 12),
    ('.jpeg', '', 12),
])
def test_decode(extension, declared, tolerance):
    picture = smooth()
    decoded = decode_compressed(compressed(cv2.imencode(extension, picture)[1], declared))
    assert decoded.dtype == np.uint8
    np.testing.assert_allclose(decoded.astype(int), picture, atol=tolerance)


@pytest.mark.parametrize('data', [bytes, ros_array, numpy_array])
def test_decode_takes_the_data_of_rclpy_and_rosbags(data):
    message = compressed(b'')
    message.data = data(cv2.imencode('.png', smooth())[1].tobytes())
    np.testing.assert_array_equal(decode_compressed(message), smooth())


def test_decode_grey_as_bgr():
    grey = smooth()[..., 0]
    decoded = decode_compressed(compressed(cv2.imencode('.png', grey)[1]))
    np.testing.assert_array_equal(decoded, np.dstack([grey] * 3))


def test_decode_ignores_exif_orientation():
    jpeg = cv2.imencode('.jpeg', smooth())[1].tobytes()
    tiff = b'MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00'
    tiff += bytes(4)
    exif = b'\xff\xe1' + struct.pack('>H', len(tiff) + 8) + b'Exif\x00\x00' + tiff
    turned = jpeg[:2] + exif + jpeg[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    assert decode_compressed(compressed(turned)).shape == (48, 64, 3)


JPEG = cv2.imencode('.jpeg', smooth())[1].tobytes()
PNG = cv2.imencode('.png', smooth())[1].tobytes()


@pytest.mark.parametrize(('data', 'declared', 'text'), [
    (b'', 'jpeg', "cannot read the compressed image: format 'jpeg', 0 bytes; "
                  'supported: jpeg, png, webp'),
    (b'GIF89a' + bytes(94), 'gif', "cannot read the compressed image: format 'gif', 100 bytes; "
                                   'supported: jpeg, png, webp'),
    (JPEG[:len(JPEG) // 2], 'jpeg',
     "the compressed image is broken or cut short: format 'jpeg', 64x48, "
     f'{len(JPEG) // 2} bytes'),
    (PNG[:16] + struct.pack('>II', 20000, 20000) + PNG[24:], 'png',
     'the image has 20000x20000 pixels, more than the limit of 33554432'),
    (PNG[:16] + struct.pack('>II', 0, 5) + PNG[24:], 'png', 'the image is empty: 0x5 pixels'),
    (bytes(12) + PNG, '16UC1; compressedDepth png',
     "'16UC1; compressedDepth png' is depth, not a picture; supported: jpeg, png, webp"),
])
def test_decode_errors(data, declared, text):
    with pytest.raises(ImageMessageError) as caught:
        decode_compressed(compressed(data, declared))
    assert str(caught.value) == text


def test_an_exception_of_opencv_is_our_error(monkeypatch):
    def imdecode(*_):
        raise cv2.error('out of memory')

    monkeypatch.setattr(cv2, 'imdecode', imdecode)
    with pytest.raises(ImageMessageError, match='broken or cut short'):
        decode_compressed(compressed(PNG, 'png'))


@pytest.fixture
def header():
    header = pytest.importorskip('std_msgs.msg').Header(frame_id='camera')
    header.stamp.sec, header.stamp.nanosec = 12, 34
    return header


@pytest.mark.parametrize('tight', [True, False])
@pytest.mark.parametrize(('encoding', 'channels'), [('mono8', 1), ('rgb8', 3), ('bgr8', 3)])
def test_to_image_message(encoding, channels, tight, header):
    picture = smooth() if channels == 3 else smooth()[..., 0]
    picture = np.ascontiguousarray(picture) if tight else picture[::2, ::3]
    message = to_image_message(picture, encoding, header)
    assert message.header is header
    assert (message.height, message.width) == picture.shape[:2]
    assert (message.encoding, message.is_bigendian) == (encoding, 0)
    assert message.step == picture.shape[1] * channels
    assert isinstance(message.data, array) and message.data.typecode == 'B'
    assert message.data.tobytes() == picture.tobytes()
    expected = {'mono8': np.dstack([picture] * 3), 'bgr8': picture, 'rgb8': picture[..., ::-1]}
    np.testing.assert_array_equal(to_bgr(message), expected[encoding])


@pytest.mark.parametrize(('picture', 'encoding', 'text'), [
    (smooth(), 'mono8', 'mono8 does not fit uint8 (48, 64, 3)'),
    (smooth()[..., 0], 'rgb8', 'rgb8 does not fit uint8 (48, 64)'),
    (smooth()[0, :, 0], 'mono8', 'mono8 does not fit uint8 (64,)'),
    (smooth().astype(np.int64), 'bgr8', 'bgr8 does not fit int64 (48, 64, 3)'),
    (smooth(), 'rgba8', "cannot write encoding 'rgba8'; supported: mono8, rgb8, bgr8"),
])
def test_to_image_message_errors(picture, encoding, text, header):
    with pytest.raises(ImageMessageError) as caught:
        to_image_message(picture, encoding, header)
    assert str(caught.value) == text


def test_png_keeps_every_class_id(header):
    ids = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 48)
    message = to_compressed_message(ids, 'png', header)
    assert message.header is header
    assert message.format == 'mono8; png compressed mono8'
    assert isinstance(message.data, array) and message.data.typecode == 'B'
    stored = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored, ids)


@pytest.mark.parametrize(('compression', 'tolerance'), [('jpeg', 8), ('png', 0)])
def test_pictures_are_given_as_rgb(compression, tolerance, header):
    message = to_compressed_message(smooth(), compression, header)
    assert message.header is header
    assert message.format == f'rgb8; {compression} compressed bgr8'
    decoded = decode_compressed(message)
    np.testing.assert_allclose(decoded[..., ::-1].astype(int), smooth(), atol=tolerance)


def test_compression_unknown(header):
    with pytest.raises(ImageMessageError, match="cannot write 'gif'; supported: png, jpeg"):
        to_compressed_message(smooth(), 'gif', header)
