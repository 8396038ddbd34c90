"""What each pass writes at each offset, recomputable by anyone who has the job key.

Keyed streams: AES-256 in counter mode; `pass_key = HKDF-SHA256(job_key, info="nullbay/overwrite/1/" +
step number)`; the counter block of a byte offset is offset/16 as a big-endian 128-bit number. The
commitment published before is SHA-256("nullbay/pattern-key/1" ‖ job_key). Known answers: docs/pattern.md.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nullbay.domain.patterns import Keyed, Pattern, Repeat
from nullbay.wipers.platform.buffers import aligned

KEY_BYTES = 32
AES_BLOCK_BYTES = 16
COMMITMENT_LABEL = b"nullbay/pattern-key/1"
PASS_INFO = "nullbay/overwrite/1/"
FINDING_LABEL = b"nullbay/finding/1"


class Stream(Protocol):
    """The bytes of one pass."""

    def phase(self, offset: int) -> int | None:
        """Equal phases mean equal content, so a filled buffer can be used again; None: never equal."""
        ...

    def fill(self, offset: int, buffer: memoryview) -> None:
        """Put the bytes of `offset` and following into `buffer`; offset a multiple of 16."""
        ...


class KeyedStream:
    """AES-256-CTR of one pass."""

    def __init__(self, pass_key: bytes, largest_bytes: int) -> None:
        """`largest_bytes` is the largest buffer that will be filled."""
        self._algorithm = algorithms.AES256(pass_key)
        # never written, so the kernel backs it by its one page of zeros
        self._zeros = aligned(largest_bytes)

    def phase(self, offset: int) -> int | None:
        """Never equal."""
        return None

    def fill(self, offset: int, buffer: memoryview) -> None:
        """Encrypt zeros at the counter of `offset`; releases the GIL."""
        if offset % AES_BLOCK_BYTES:
            msg = f"a keyed stream starts at multiples of {AES_BLOCK_BYTES}, not {offset}"
            raise ValueError(msg)
        counter = (offset // AES_BLOCK_BYTES).to_bytes(AES_BLOCK_BYTES, "big")
        encryptor = Cipher(self._algorithm, modes.CTR(counter)).encryptor()
        encryptor.update_into(self._zeros[: len(buffer)], buffer)


class RepeatStream:
    """A short unit repeated from byte 0."""

    def __init__(self, unit: bytes, largest_bytes: int) -> None:
        """Tile once; every fill is a copy out of the tile."""
        self._length = len(unit)
        copies = largest_bytes // len(unit) + 2
        self._tile = memoryview(unit * copies)

    def phase(self, offset: int) -> int | None:
        """Where in the unit `offset` falls."""
        return offset % self._length

    def fill(self, offset: int, buffer: memoryview) -> None:
        """Copy."""
        start = offset % self._length
        buffer[:] = self._tile[start : start + len(buffer)]


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
