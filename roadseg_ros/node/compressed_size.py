"""The size a compressed picture says it has, read before anything is decoded."""
from __future__ import annotations

import struct

COMPRESSED_FORMATS = ('jpeg', 'png', 'webp')


def compressed_size(data: bytes) -> tuple[int, int] | None:
    """
    Read the size of a compressed picture, of ``COMPRESSED_FORMATS``.

    :param data: the whole file, or enough of its beginning.
    :return: (height, width) in pixels, or None if the header is cut short or of another format.
    """
    try:
        if data.startswith(b'\xff\xd8'):
            return _jpeg_size(data)
        if data.startswith(b'\x89PNG\r\n\x1a\n') and data[12:16] == b'IHDR':
            width, height = struct.unpack_from('>II', data, 16)
            return height, width
        if data.startswith(b'RIFF') and data[8:12] == b'WEBP':
            return _webp_size(data)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        # C4, C8 and CC stand among the frame headers without being one.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return struct.unpack_from('>HH', data, at + 5)
        at += 2 + struct.unpack_from('>H', data, at + 2)[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b'VP8 ':
        width, height = struct.unpack_from('<HH', data, 26)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b'VP8L':
        bits = struct.unpack_from('<I', data, 21)[0]
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b'VP8X':
        low, high = struct.unpack_from('<IH', data, 24)
        return (low >> 24 | high << 8) + 1, (low & 0xFFFFFF) + 1
    return None
