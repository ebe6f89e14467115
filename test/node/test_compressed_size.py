"""The size read from a header is the size OpenCV decodes to."""
import cv2
import numpy as np
import pytest

from roadseg_ros.node.compressed_size import compressed_size

PICTURE = np.arange(37 * 52 * 3, dtype=np.uint32).astype(np.uint8).reshape(37, 52, 3)
JPEG = cv2.imencode('.jpeg', PICTURE)[1].tobytes()


def with_alpha(picture: np.ndarray) -> np.ndarray:
    return np.dstack([picture, picture[..., 0]])


@pytest.mark.parametrize(('extension', 'flags', 'picture'), [
    ('.jpeg', [], PICTURE),
    ('.jpeg', [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], PICTURE),
    ('.jpeg', [], PICTURE[..., 0]),
    ('.png', [], PICTURE),
    ('.png', [], PICTURE.astype(np.uint16)),
    ('.webp', [cv2.IMWRITE_WEBP_QUALITY, 80], PICTURE),
    ('.webp', [cv2.IMWRITE_WEBP_QUALITY, 101], PICTURE),
    ('.webp', [cv2.IMWRITE_WEBP_QUALITY, 80], with_alpha(PICTURE)),
])
def test_size_of_what_opencv_writes(extension, flags, picture):
    data = cv2.imencode(extension, picture, flags)[1].tobytes()
    assert compressed_size(data) == (37, 52)


def test_jpeg_with_metadata_and_fill_bytes_before_the_frame_header():
    # The metadata holds what looks like a frame header, as a thumbnail does.
    metadata = b'\xff\xe1\x00\x0c\xff\xc0\x00\x11\x08\x00\x01\x00\x01\x03'
    assert compressed_size(JPEG[:2] + metadata + b'\xff\xff' + JPEG[2:]) == (37, 52)


@pytest.mark.parametrize('data', [
    b'', b'\xff\xd8', JPEG[:40], b'\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00',
    b'GIF89a' + b'\x00' * 40, b'RIFF\x00\x00\x00\x00WEBPVP8 ', b'\xff\xd8' + b'\x00' * 40,
])
def test_cut_short_or_another_format(data):
    assert compressed_size(data) is None
