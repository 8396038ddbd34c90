"""What each pass writes at each offset, recomputable by anyone who has the job key.

Keyed streams: AES-256 in counter mode; `pass_key = HKDF-SHA256(job_key, info =
"nullbay/overwrite/1/" + step number)`; the counter block of a byte offset is offset/16 as a
big-endian 128-bit number. The commitment published before is
SHA-256("nullbay/pattern-key/1" ‖ job_key). Known answers: docs/pattern.md.
"""

from __future__ import annotations

import hashlib
import hmac
import mmap
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nullbay.domain.patterns import Keyed, Pattern, Repeat
from nullbay.wipers.platform.buffers import aligned, first_difference

KEY_BYTES = 32
AES_BLOCK_BYTES = 16
COMMITMENT_LABEL = b"nullbay/pattern-key/1"
PASS_INFO = "nullbay/overwrite/1/"
FINDING_LABEL = b"nullbay/finding/1"
COMPARED_BYTES = 256 * 1024
"""How much of a keyed stream is made at a time to compare with: what a core's own cache holds."""


class Source(Protocol):
    """The bytes of one pass for one lane: ready to write, or to compare with. For one thread."""

    def take(self, offset: int, length: int) -> memoryview:
        """The bytes of `offset` and following in page-aligned memory, for offsets of whole sectors.

        Valid until the next call, and only for reading: other lanes may hold the same memory.
        Raises ValueError for more than the stream was made for.
        """
        ...

    def is_held_by(self, buffer: memoryview, offset: int) -> bool:
        """Whether `buffer`, read at `offset`, holds exactly these bytes."""
        ...


class Stream(Protocol):
    """The bytes of one pass. May be asked from any thread."""

    def fill(self, offset: int, buffer: memoryview) -> None:
        """Put the bytes of `offset` and following into `buffer`; offset a multiple of 16."""
        ...

    def source(self) -> Source:
        """For one lane."""
        ...


class KeyedStream:
    """AES-256-CTR of one pass."""

    def __init__(self, pass_key: bytes, largest_bytes: int) -> None:
        """`largest_bytes` is the largest buffer that will be filled."""
        self.algorithm = algorithms.AES256(pass_key)
        self.largest_bytes = largest_bytes
        # never written, so the kernel backs it by its one page of zeros
        self.zeros = aligned(largest_bytes)

    def fill(self, offset: int, buffer: memoryview) -> None:
        """Encrypt zeros at the counter of `offset`; releases the GIL."""
        _require_room(len(buffer), self.largest_bytes)
        encryptor = Cipher(self.algorithm, modes.CTR(_counter(offset))).encryptor()
        encryptor.update_into(self.zeros[: len(buffer)], buffer)

    def source(self) -> Source:
        """With buffers and a cipher context of its own."""
        return _KeyedSource(self)


class _KeyedSource:
    """One cipher context, moved from offset to offset; buffers are made when first needed."""

    def __init__(self, stream: KeyedStream) -> None:
        self._stream = stream
        self._encryptor = Cipher(stream.algorithm, modes.CTR(_counter(0))).encryptor()
        self._written: memoryview | None = None
        self._compared: memoryview | None = None

    def take(self, offset: int, length: int) -> memoryview:
        _require_room(length, self._stream.largest_bytes)
        if self._written is None:
            self._written = aligned(self._stream.largest_bytes)
        buffer = self._written[:length]
        self._encryptor.reset_nonce(_counter(offset))
        self._encryptor.update_into(self._stream.zeros[:length], buffer)
        return buffer

    def is_held_by(self, buffer: memoryview, offset: int) -> bool:
        if self._compared is None:
            self._compared = aligned(min(COMPARED_BYTES, self._stream.largest_bytes))
        self._encryptor.reset_nonce(_counter(offset))
        for start in range(0, len(buffer), len(self._compared)):
            got = buffer[start : start + len(self._compared)]
            want = self._compared[: len(got)]
            self._encryptor.update_into(self._stream.zeros[: len(got)], want)
            if first_difference(got, want) is not None:
                return False
        return True


class RepeatStream:
    """A short unit repeated from byte 0: one tile of it, never written again, serves every lane."""

    def __init__(self, unit: bytes, largest_bytes: int) -> None:
        """`largest_bytes` is the largest piece that will be asked for."""
        self._unit, self._largest_bytes = unit, largest_bytes
        # Whole sectors have to come from page-aligned memory whatever their phase: each phase that
        # a sector can have stands at the beginning of some page of the tile.
        pages = range(0, len(unit) * mmap.PAGESIZE, mmap.PAGESIZE)
        self._pages = {at % len(unit): at for at in reversed(pages)}
        self._tile = memoryview(bytearray())
        self._stride = -(-mmap.PAGESIZE // len(unit)) * len(unit)

    def fill(self, offset: int, buffer: memoryview) -> None:
        """Copy."""
        buffer[:] = self.take(offset, len(buffer))

    def source(self) -> Source:
        """Itself: what it once gave away never changes."""
        return self

    def take(self, offset: int, length: int) -> memoryview:
        """A view of the tile, which is as large as the largest piece asked for so far."""
        _require_room(length, self._largest_bytes)
        phase = offset % len(self._unit)
        start = self._pages.get(phase, phase)
        tile = self._tile
        if start + length > len(tile):
            tile = self._tile = self._make_tile(length)
        return tile[start : start + length]

    def is_held_by(self, buffer: memoryview, offset: int) -> bool:
        """The beginning compared with the tile, the rest with itself: half the memory to read."""
        head = min(self._stride, len(buffer))
        if first_difference(buffer[:head], self.take(offset, head)) is not None:
            return False
        if head == len(buffer):
            return True
        return first_difference(buffer[head:], buffer[:-head]) is None

    def _make_tile(self, length: int) -> memoryview:
        filled = len(self._unit)
        tile = aligned(max(self._pages.values()) + filled + length)
        tile[:filled] = self._unit
        while filled < len(tile):
            more = min(filled, len(tile) - filled)
            tile[filled : filled + more] = tile[:more]
            filled += more
        return tile


def stream_of(pattern: Pattern, job_key: bytes, step_number: int, largest_bytes: int) -> Stream:
    """The stream of one step of a plan."""
    match pattern:
        case Keyed():
            return KeyedStream(pass_key(job_key, step_number), largest_bytes)
        case Repeat(unit):
            return RepeatStream(unit, largest_bytes)


def pass_key(job_key: bytes, step_number: int) -> bytes:
    """The AES-256 key of one step. Raises ValueError for a job key that is not 32 bytes."""
    if len(job_key) != KEY_BYTES:
        msg = f"a job key has {KEY_BYTES} bytes, not {len(job_key)}"
        raise ValueError(msg)
    info = (PASS_INFO + str(step_number)).encode("ascii")
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(job_key)


def commitment(job_key: bytes) -> str:
    """What is published of the job key before the first write; lower-case hex."""
    return hashlib.sha256(COMMITMENT_LABEL + job_key).hexdigest()


def finding_digest(finding_key: bytes, lba: int, sector: bytes | memoryview) -> str:
    """Keyed digest of a sector that differs: two reads can be compared, the bytes not guessed."""
    message = FINDING_LABEL + lba.to_bytes(8, "big") + bytes(sector)
    return hmac.digest(finding_key, message, "sha256").hex()


def _counter(offset: int) -> bytes:
    if offset % AES_BLOCK_BYTES:
        msg = f"a keyed stream starts at multiples of {AES_BLOCK_BYTES}, not {offset}"
        raise ValueError(msg)
    return (offset // AES_BLOCK_BYTES).to_bytes(AES_BLOCK_BYTES, "big")


def _require_room(length: int, largest_bytes: int) -> None:
    if length > largest_bytes:
        msg = f"a stream for pieces of {largest_bytes} bytes was asked for {length}"
        raise ValueError(msg)
