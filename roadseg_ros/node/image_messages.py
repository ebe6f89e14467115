"""Turn image messages into arrays and arrays into image messages."""
from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from roadseg_ros.checkpoint import MAX_PIXELS
from roadseg_ros.node.compressed_size import COMPRESSED_FORMATS, compressed_size

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image
    from std_msgs.msg import Header

JPEG_QUALITY = 90
MAX_QUOTED = 40  # characters


class ImageMessageError(ValueError):
    """An image message that cannot be converted; says what is wrong and what is supported."""


@dataclass(frozen=True)
class Layout:
    """How one encoding lies in memory and which OpenCV conversion makes it BGR."""

    channels: int
    conversion: int | None
    bytes_per_sample: int = 1
    block: tuple[int, int] = (1, 1)
    """Height and width must be multiples of this."""
    planes: float = 1.0
    """Rows of data for each row of the image."""


_UYVY = Layout(2, cv2.COLOR_YUV2BGR_UYVY, block=(1, 2))
_YUYV = Layout(2, cv2.COLOR_YUV2BGR_YUY2, block=(1, 2))
LAYOUTS = {
    'bgr8': Layout(3, None),
    'rgb8': Layout(3, cv2.COLOR_RGB2BGR),
    'bgra8': Layout(4, cv2.COLOR_BGRA2BGR),
    'rgba8': Layout(4, cv2.COLOR_RGBA2BGR),
    'mono8': Layout(1, cv2.COLOR_GRAY2BGR),
    'bgr16': Layout(3, None, 2),
    'rgb16': Layout(3, cv2.COLOR_RGB2BGR, 2),
    'bgra16': Layout(4, cv2.COLOR_BGRA2BGR, 2),
    'rgba16': Layout(4, cv2.COLOR_RGBA2BGR, 2),
    'mono16': Layout(1, cv2.COLOR_GRAY2BGR, 2),
    '8UC1': Layout(1, cv2.COLOR_GRAY2BGR),
    '8UC3': Layout(3, None),
    '8UC4': Layout(4, cv2.COLOR_BGRA2BGR),
    '16UC1': Layout(1, cv2.COLOR_GRAY2BGR, 2),
    'uyvy': _UYVY,
    'yuv422': _UYVY,
    'yuyv': _YUYV,
    'yuv422_yuy2': _YUYV,
    'nv12': Layout(1, cv2.COLOR_YUV2BGR_NV12, block=(2, 2), planes=1.5),
    'nv21': Layout(1, cv2.COLOR_YUV2BGR_NV21, block=(2, 2), planes=1.5),
    # These four names of OpenCV mean what ROS means; its older BayerBG is ROS's rggb.
    'bayer_rggb8': Layout(1, cv2.COLOR_BayerRGGB2BGR),
    'bayer_bggr8': Layout(1, cv2.COLOR_BayerBGGR2BGR),
    'bayer_gbrg8': Layout(1, cv2.COLOR_BayerGBRG2BGR),
    'bayer_grbg8': Layout(1, cv2.COLOR_BayerGRBG2BGR),
    'bayer_rggb16': Layout(1, cv2.COLOR_BayerRGGB2BGR, 2),
    'bayer_bggr16': Layout(1, cv2.COLOR_BayerBGGR2BGR, 2),
    'bayer_gbrg16': Layout(1, cv2.COLOR_BayerGBRG2BGR, 2),
    'bayer_grbg16': Layout(1, cv2.COLOR_BayerGRBG2BGR, 2),
}


def to_bgr(message: Image, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """
    Return the picture of an Image message, of rclpy's or rosbags' type.

    :param message: any encoding of ``LAYOUTS``, or of cv_bridge where that is installed.
    :param max_pixels: larger pictures are refused.
    :return: (H, W, 3) uint8 BGR; 16-bit samples keep their high byte. For bgr8 and 8UC3 a view
        of the message's data, rows padded where the message's are: do not write to it.
    :raises ImageMessageError: if the fields contradict each other or the encoding is unknown.
    """
    _check_size(message.height, message.width, max_pixels)
    layout = LAYOUTS.get(message.encoding)
    if layout is None:
        return _through_cv_bridge(message)
    samples = _samples(message, layout)
    return samples if layout.conversion is None else cv2.cvtColor(samples, layout.conversion)


def decode_compressed(message: CompressedImage, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """
    Decode a CompressedImage message, of rclpy's or rosbags' type.

    The data says what it is; the field ``format``, which drivers fill in many ways, is not
    trusted. EXIF orientation is ignored, as the camera's calibration does.

    :param message: a JPEG, PNG or WebP picture.
    :param max_pixels: larger pictures are refused, before they are decoded.
    :return: (H, W, 3) uint8 BGR.
    :raises ImageMessageError: if the picture is too large, broken or of another format.
    """
    supported = 'supported: ' + ', '.join(COMPRESSED_FORMATS)
    if 'compresseddepth' in message.format.lower():
        raise ImageMessageError(f'{_quoted(message.format)} is depth, not a picture; {supported}')
    data = np.frombuffer(message.data, np.uint8)
    size = compressed_size(data.tobytes())
    if size is None:
        raise ImageMessageError(
            f'cannot read the compressed image: format {_quoted(message.format)}, '
            f'{data.size} bytes; '
            + supported)
    _check_size(*size, max_pixels)
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        picture = None
    if picture is None or picture.shape[:2] != size:
        raise ImageMessageError(
            f'the compressed image is broken or cut short: format {_quoted(message.format)}, '
            f'{size[1]}x{size[0]}, {data.size} bytes')
    return picture


def to_image_message(picture: np.ndarray, encoding: str, header: Header) -> Image:
    """
    Make an Image message with tight rows.

    :param picture: uint8, (H, W) for mono8, (H, W, 3) for rgb8 and bgr8.
    :param encoding: mono8, rgb8 or bgr8; the channel order is the picture's.
    :param header: becomes the message's, the same object.
    :return: the message, with a copy of the picture.
    :raises ImageMessageError: if picture and encoding do not fit.
    """
    from sensor_msgs.msg import Image

    channels = {'mono8': 1, 'rgb8': 3, 'bgr8': 3}.get(encoding)
    if channels is None:
        raise ImageMessageError(
            f'cannot write encoding {encoding!r}; supported: mono8, rgb8, bgr8')
    fits = picture.ndim == 2 if channels == 1 else picture.shape[2:] == (channels,)
    if picture.dtype != np.uint8 or not fits:
        raise ImageMessageError(f'{encoding} does not fit {picture.dtype} {picture.shape}')
    message = Image(header=header, encoding=encoding)
    message.height, message.width = picture.shape[:2]
    message.step = picture.shape[1] * channels
    message.data = _byte_array(picture)
    return message


def to_compressed_message(
    picture: np.ndarray, compression: str, header: Header
) -> CompressedImage:
    """
    Make a CompressedImage message whose format field image_transport understands.

    :param picture: uint8, (H, W) such as class ids, or (H, W, 3) RGB.
    :param compression: png, which keeps class ids exact, or jpeg, for people to look at.
    :param header: becomes the message's, the same object.
    :raises ImageMessageError: if the compression is another one.
    """
    from sensor_msgs.msg import CompressedImage

    if compression not in ('png', 'jpeg'):
        raise ImageMessageError(f'cannot write {compression!r}; supported: png, jpeg')
    flags = {
        'jpeg': [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
        # Class ids lie in runs: a third smaller and no slower than zlib's own strategy.
        'png': [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY,
                cv2.IMWRITE_PNG_STRATEGY_RLE],
    }[compression]
    grey = picture.ndim == 2
    stored = picture if grey else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(f'.{compression}', stored, flags)
    names = ('mono8', 'mono8') if grey else ('rgb8', 'bgr8')
    message = CompressedImage(
        header=header, format=f'{names[0]}; {compression} compressed {names[1]}')
    message.data = _byte_array(data)
    return message


def _check_size(height: int, width: int, max_pixels: int) -> None:
    if not height or not width:
        raise ImageMessageError(f'the image is empty: {width}x{height} pixels')
    if height * width > max_pixels:
        raise ImageMessageError(
            f'the image has {width}x{height} pixels, more than the limit of {max_pixels}')


def _samples(message: Image, layout: Layout) -> np.ndarray:
    """
    Return the samples of a message, without copying them if they are 8-bit.

    :return: (rows, W, channels) uint8; of 16-bit samples the high byte.
    """
    encoding, width, step = message.encoding, message.width, message.step
    if message.height % layout.block[0] or width % layout.block[1]:
        sides = 'width' if layout.block[0] == 1 else 'width and height'
        raise ImageMessageError(f'{encoding} needs an even {sides}, got {width}x{message.height}')
    pixel_bytes = layout.channels * layout.bytes_per_sample
    if step < width * pixel_bytes:
        raise ImageMessageError(f'step {step} is less than {width} x {pixel_bytes} bytes')
    rows = int(message.height * layout.planes)
    data = np.frombuffer(message.data, np.uint8)
    if data.size < rows * step:
        raise ImageMessageError(
            f'{encoding} {width}x{message.height} with step {step} needs {rows * step} bytes, '
            f'got {data.size}')
    samples = np.ndarray(
        (rows, width, layout.channels), np.uint8, data,
        offset=0 if message.is_bigendian else layout.bytes_per_sample - 1,
        strides=(step, pixel_bytes, layout.bytes_per_sample))
    return samples if layout.bytes_per_sample == 1 else np.ascontiguousarray(samples)


def _through_cv_bridge(message: Image) -> np.ndarray:
    try:
        from cv_bridge import CvBridge
    # cv_bridge under a NumPy it was not built for fails with an AttributeError.
    except (ImportError, AttributeError):
        raise ImageMessageError(
            f'unknown encoding {_quoted(message.encoding)}; supported: ' + ', '.join(LAYOUTS)
        ) from None
    try:
        return CvBridge().imgmsg_to_cv2(message, 'bgr8')
    except Exception as error:  # cv_bridge raises its own, RuntimeError, TypeError and cv2.error
        raise ImageMessageError(
            f'cv_bridge cannot convert encoding {_quoted(message.encoding)}: {error}; '
            'supported without it: ' + ', '.join(LAYOUTS)) from error


def _quoted(text: str) -> str:
    """Return a text of a message for a log, which a long one would flood."""
    return repr(text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + '...')


def _byte_array(values: np.ndarray) -> array[int]:
    """Copy an array's bytes; a message takes any other type element by element."""
    data = array('B')
    data.frombytes(np.ascontiguousarray(values).data.cast('B'))
    return data
