"""A block device in memory: strict about alignment, with a volatile cache and faults on demand."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nullbay.domain.ports import Geometry, PortError, PortErrorKind
from nullbay.domain.ranges import ByteRange, RangeSet

OLD = b"\xc5"
"""What every byte held before."""

Hook = Callable[[int, int], None]


def refuse(kind: PortErrorKind = PortErrorKind.MEDIUM, errno: str = "EIO") -> PortError:
    """An answer that is an error."""
    return PortError(kind, "so it was ordered", errno=errno)


@dataclass
class MemoryPort:
    """`domain.ports.BlockPort`. Hooks are called with offset and length before a transfer.

    `medium` is what a power cut leaves. `lock` is free during hooks, so other lanes go on.
    """

    size_bytes: int
    logical: int = 512
    physical: int = 512
    cached: bool = False
    reads: str = "direct"
    before_write: Hook = lambda _offset, _length: None
    before_read: Hook = lambda _offset, _length: None
    before_flush: Callable[[], None] = lambda: None
    writes: list[ByteRange] = field(default_factory=list)
    read_ranges: list[ByteRange] = field(default_factory=list)
    flushes: int = 0

    def __post_init__(self) -> None:
        self.geometry = Geometry(self.size_bytes, self.logical, self.physical)
        self.medium = bytearray(OLD * self.size_bytes)
        self.cache = bytearray(self.medium)
        self.lock = threading.Lock()

    @property
    def content(self) -> bytes:
        """What a read would return."""
        return bytes(self.cache)

    def current_size_bytes(self) -> int:
        return self.size_bytes

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self._require_aligned(offset, buffer)
        self.before_read(offset, len(buffer))
        with self.lock:
            buffer[:] = self.cache[offset : offset + len(buffer)]
            self.read_ranges.append(ByteRange(offset, offset + len(buffer)))

    def write_from(self, offset: int, buffer: memoryview) -> None:
        self._require_aligned(offset, buffer)
        self.before_write(offset, len(buffer))
        with self.lock:
            self.cache[offset : offset + len(buffer)] = buffer
            if not self.cached:
                self.medium[offset : offset + len(buffer)] = buffer
            self.writes.append(ByteRange(offset, offset + len(buffer)))

    def flush(self) -> None:
        with self.lock:
            seen = bytes(self.cache) if self.cached else b""
        self.before_flush()
        with self.lock:
            if self.cached:
                # only what was written before the command is promised
                self.medium[:] = seen
            self.flushes += 1

    def deallocate(self, offset: int, length: int) -> None:
        raise refuse(PortErrorKind.OTHER, "EOPNOTSUPP")

    def close(self) -> None:
        pass

    def covered(self) -> RangeSet:
        """All that was written."""
        return RangeSet(self.writes)

    def _require_aligned(self, offset: int, buffer: memoryview) -> None:
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        assert offset % self.logical == 0
        assert len(buffer) % self.logical == 0
        assert address % self.logical == 0, "O_DIRECT would refuse this memory"
        assert 0 < len(buffer) <= self.size_bytes - offset


def bad_sectors(
    port: MemoryPort, lbas: Iterable[int], error: Callable[[], PortError] = refuse
) -> Hook:
    """A hook that refuses every transfer that touches the physical sectors of these LBAs."""
    per_physical = port.physical // port.logical
    bad = {lba // per_physical for lba in lbas}

    def check(offset: int, length: int) -> None:
        touched = range(offset // port.physical, (offset + length - 1) // port.physical + 1)
        if not bad.isdisjoint(touched):
            raise error()

    return check


def lbas_of_physical(port: MemoryPort, lbas: Iterable[int]) -> list[int]:
    """All LBAs that share a physical sector with one of these."""
    per_physical, sectors = port.physical // port.logical, port.size_bytes // port.logical
    firsts = {lba // per_physical * per_physical for lba in lbas}
    return sorted(
        lba for first in firsts for lba in range(first, min(first + per_physical, sectors))
    )
