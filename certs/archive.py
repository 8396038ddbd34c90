"""The evidence archive: a deterministic tar in one zstd frame, and a reader that trusts nothing.

The reader takes the plain regular files of a tar apart and puts them together again: only a tar
that is byte for byte what `write` makes is accepted. Links, devices, odd names, two members of one
name and anything hidden between or behind the members fall away by that one comparison.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import zstandard

from nullbay.domain.errors import MalformedError, TooLargeError
from nullbay.domain.text import show

SUFFIX = ".evidence.tar.zst"
LEVEL = 10
WINDOW_MAX_BYTES = 8 * 1024 * 1024
# A block of 4 bytes can unpack to 128 KiB: at most 32 MiB come out of one chunk.
CHUNK_BYTES = 1024
RATIO_FREE_BYTES = 64 * 1024 * 1024
_BLOCK = tarfile.BLOCKSIZE
_NAME_MAX = 100
_NAME_FORM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


@dataclass(frozen=True, slots=True)
class Caps:
    """What a reader takes at most. `ratio` holds for archives that unpack to more than 64 MiB."""

    file_bytes: int = 512 * 1024 * 1024
    members: int = 4096
    member_bytes: int = 256 * 1024 * 1024
    total_bytes: int = 512 * 1024 * 1024
    ratio: int = 1000


CAPS = Caps()


def write(path: Path, members: Mapping[str, bytes]) -> str:
    """Write the archive durably, whole or not at all; its SHA-256 in hex.

    The same members give the same bytes. Names are relative paths of letters, digits, `._-`.
    Raises TooLargeError for what `read` would refuse, ValueError for a name it would, OSError.
    """
    packed = pack(members)
    # A name nobody can foresee, made new: no link planted in a shared folder is followed.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o644), "wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return hashlib.sha256(packed).hexdigest()


def pack(members: Mapping[str, bytes]) -> bytes:
    """The archive's bytes; raises as `write`."""
    for name in members:
        if not _is_name(name):
            msg = f"not a name for a member of an archive: {show(name)!r}"
            raise ValueError(msg)
    _require_within(members, CAPS)
    plain = _tar(members)
    compressor = zstandard.ZstdCompressor(
        level=LEVEL, write_checksum=True, write_content_size=True, threads=0
    )
    packed = compressor.compress(plain)
    _require_ratio(len(plain), len(packed), CAPS)
    return packed


def read(path: Path, caps: Caps = CAPS) -> dict[str, bytes]:
    """Every member by name, in memory. Raises MalformedError, TooLargeError, OSError.

    Success proves that the archive has exactly these members and nothing besides.
    """
    with path.open("rb") as file:
        data = file.read(caps.file_bytes + 1)
    return unpack(data, caps)


def unpack(data: bytes, caps: Caps = CAPS) -> dict[str, bytes]:
    """The members of an archive's bytes; raises MalformedError, TooLargeError."""
    if len(data) > caps.file_bytes:
        raise TooLargeError(f"the archive is larger than {caps.file_bytes} bytes")
    plain = _decompress(data, caps)
    members = _members(plain, caps)
    _require_within(members, caps)
    if _tar(members) != plain:
        raise MalformedError("the archive holds more than plain files in order")
    return members


def _decompress(data: bytes, caps: Caps) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX_BYTES).decompressobj()
    # Headers and padding of a tar besides its contents.
    cap = caps.total_bytes + (caps.members + 1) * 2 * _BLOCK + tarfile.RECORDSIZE
    plain = io.BytesIO()
    try:
        for start in range(0, len(data), CHUNK_BYTES):
            plain.write(reader.decompress(data[start : start + CHUNK_BYTES]))
            if plain.tell() > cap:
                raise TooLargeError(f"the archive unpacks to more than {caps.total_bytes} bytes")
            _require_ratio(plain.tell(), len(data), caps)
            if reader.eof:
                if reader.unused_data or start + CHUNK_BYTES < len(data):
                    raise MalformedError("something follows the end of the archive")
                return plain.getvalue()
    except zstandard.ZstdError:
        raise MalformedError("the archive is no zstd frame, or damaged") from None
    raise MalformedError("the archive ends too early")


def _members(plain: bytes, caps: Caps) -> dict[str, bytes]:
    """Contents by name, read loosely: the comparison with what we would write is what decides."""
    members: dict[str, bytes] = {}
    at = 0
    while at + _BLOCK <= len(plain) and plain[at : at + _BLOCK].count(0) != _BLOCK:
        header = plain[at : at + _BLOCK]
        name = header[:100].split(b"\0", 1)[0].decode("ascii", "replace")
        digits = header[124:135]
        if not digits.isdigit() or b"8" in digits or b"9" in digits or not _is_name(name):
            raise MalformedError("the archive holds a member that is no plain file")
        size = int(digits, 8)
        if size > caps.member_bytes:
            raise TooLargeError(f"{name} is larger than {caps.member_bytes} bytes")
        at += _BLOCK
        if at + size > len(plain) or name in members or len(members) >= caps.members:
            raise MalformedError("the archive is cut short, doubled, or of too many members")
        members[name] = plain[at : at + size]
        at += -(-size // _BLOCK) * _BLOCK
    return members


def _is_name(name: str) -> bool:
    return len(name) <= _NAME_MAX and _NAME_FORM.fullmatch(name) is not None


def _require_within(members: Mapping[str, bytes], caps: Caps) -> None:
    if len(members) > caps.members:
        raise TooLargeError(f"an archive has at most {caps.members} members")
    if sum(map(len, members.values())) > caps.total_bytes:
        raise TooLargeError(f"an archive holds at most {caps.total_bytes} bytes")
    if any(len(content) > caps.member_bytes for content in members.values()):
        raise TooLargeError(f"a member has at most {caps.member_bytes} bytes")


def _require_ratio(plain: int, packed: int, caps: Caps) -> None:
    if plain > RATIO_FREE_BYTES and plain > packed * caps.ratio:
        raise TooLargeError(f"the archive unpacks to more than {caps.ratio} times its size")


def _tar(members: Mapping[str, bytes]) -> bytes:
    """POSIX ustar, names in order, no times, owners or modes of this machine."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(members):
            info = tarfile.TarInfo(name)
            info.size = len(members[name])
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(members[name]))
    return out.getvalue()
