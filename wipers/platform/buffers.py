"""Page-aligned memory for O_DIRECT, and comparing at memory speed."""

from __future__ import annotations

import ctypes
import mmap

_libc = ctypes.CDLL(None)  # CDLL, not PyDLL: calls release the GIL
_libc.memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_libc.memcmp.restype = ctypes.c_int

# Below this many bytes, looking at each byte is quicker than another call.
_LINEAR_BYTES = 64


def aligned(length: int) -> memoryview:
    """`length` writable zero bytes starting at a page boundary, freed with the last view of them.

    Anonymous private memory: never in a file, zeroed by the kernel. Raises ValueError for a length
    below 1.
    """
    if length < 1:
        msg = f"no buffer of {length} bytes"
        raise ValueError(msg)
    pages = -(-length // mmap.PAGESIZE)
    return memoryview(mmap.mmap(-1, pages * mmap.PAGESIZE, mmap.MAP_PRIVATE))[:length]


def first_difference(a: memoryview, b: memoryview) -> int | None:
    """The index of the first byte in which two views of equal length differ, None if in none.

    memcmp without the GIL: tens of GB/s, where `==` of bytes or memoryviews stalls every other
    thread (codebases.md section 3). memcmp tells only that something differs, so the place is found
    by halving, which costs at most one more pass. Views that are read-only are copied first. Raises
    ValueError for lengths that differ.
    """
    a, b = a.cast("B"), b.cast("B")
    if a.nbytes != b.nbytes:
        msg = f"cannot compare {a.nbytes} with {b.nbytes} bytes"
        raise ValueError(msg)
    if _equal(a, b):
        return None
    start, end = 0, a.nbytes  # the first difference is in start..end
    while end - start > _LINEAR_BYTES:
        middle = (start + end) // 2
        if _equal(a[start:middle], b[start:middle]):
            start = middle
        else:
            end = middle
    return next(at for at in range(start, end) if a[at] != b[at])


def _equal(a: memoryview, b: memoryview) -> bool:
    if not a.nbytes:
        return True
    mine, other = _pinned(a), _pinned(b)
    found: int = _libc.memcmp(ctypes.byref(mine), ctypes.byref(other), a.nbytes)
    return found == 0


def _pinned(view: memoryview) -> ctypes.Array[ctypes.c_char]:
    """The bytes of a view where C can see them; the array keeps them from being freed."""
    kind = ctypes.c_char * view.nbytes
    return kind.from_buffer_copy(view) if view.readonly else kind.from_buffer(view)
