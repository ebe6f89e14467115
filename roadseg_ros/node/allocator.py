"""What the C library's allocator does with the memory of pictures that have gone out."""

from __future__ import annotations

import ctypes

# of glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 256 << 20
LARGEST_KEPT_BYTES = 32 << 20  # glibc takes no more


def keep_freed_memory() -> None:
    """
    Let each thread's arena keep what it frees, up to `KEPT_BYTES`, instead of returning it.

    glibc gives every thread but the first an arena that it trims at once: each frame's messages
    would be paged in anew, which doubles the time to decode and publish them (benchmarks/LOG.md).
    Where the C library is another one, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
