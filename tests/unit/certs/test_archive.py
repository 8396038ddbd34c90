"""The evidence archive: same members, same bytes; and a reader that is not led astray."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from nullbay.certs import archive
from nullbay.domain.errors import MalformedError, TooLargeError

MEMBERS = {"b.jsonl": b"line\n" * 1000, "a/key.bin": bytes(range(32)), "empty": b""}
SMALL = archive.Caps(
    file_bytes=200_000, members=4, member_bytes=50_000, total_bytes=60_000, ratio=100
)

names = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9][a-z0-9.]{0,5})?", fullmatch=True)


@given(st.dictionaries(names, st.binary(max_size=3000), max_size=6))
def test_what_is_packed_is_unpacked(members: dict[str, bytes]) -> None:
    packed = archive.pack(members)
    assert archive.unpack(packed) == members
    backwards = dict(reversed(members.items()))
    assert archive.pack(backwards) == packed


def test_it_is_written_durably_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "job.evidence.tar.zst"
    digest = archive.write(path, MEMBERS)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == archive.write(path, MEMBERS)
    assert archive.read(path) == MEMBERS
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert synced[0].startswith(".job.evidence.tar.zst.")
    assert synced[1] == tmp_path.name


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "job.evidence.tar.zst"
    archive.write(path, MEMBERS)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        archive.write(path, {"a": b"other"})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_nothing_of_this_machine_is_in_it() -> None:
    plain = zstandard.ZstdDecompressor().decompress(archive.pack(MEMBERS))
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        for info in tar:
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")
            assert info.mode == 0o644
            assert info.isreg()
        assert tar.getnames() == sorted(MEMBERS)


BAD_NAMES = [
    "../etc/passwd",
    "/etc/passwd",
    "a/../../b",
    "a/./b",
    ".hidden",
    "a/.hidden",
    "a//b",
    "a/",
    "",
    "-rf\n",
    "a b",
    "ä",
    "x" * 101,
    "a\\b",
    "a\0b",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_elsewhere_are_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        archive.pack({name: b""})


# --- hostile archives --------------------------------------------------------------------------


def compressed(plain: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(plain)


def tar_of(*infos: tarfile.TarInfo, tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as tar:
        for info in infos:
            content = b"x" * (info.size if info.isreg() else 0)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def member(name: str = "a", size: int = 10, **changes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.size = 0o644, size
    for field, value in changes.items():
        setattr(info, field, value)
    return info


def test_the_hostile_ones_differ_from_this_by_what_is_hostile() -> None:
    assert archive.unpack(compressed(tar_of(member()))) == {"a": b"x" * 10}


@pytest.mark.parametrize("name", [name for name in BAD_NAMES if 0 < len(name) <= 100])
def test_names_that_lead_elsewhere_are_not_read(name: str) -> None:
    for tar_format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with pytest.raises(MalformedError):
            archive.unpack(compressed(tar_of(member(name), tar_format=tar_format)))


@pytest.mark.parametrize(
    "info",
    [
        member(type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0),
        member(type=tarfile.LNKTYPE, linkname="../x", size=0),
        member(type=tarfile.DIRTYPE, size=0),
        member(type=tarfile.FIFOTYPE, size=0),
        member(type=tarfile.CHRTYPE, size=0, devmajor=1, devminor=1),
        member(mode=0o4755),
        member(mtime=1),
        member(uid=1),
        member(uname="root"),
    ],
)
def test_whatever_is_no_plain_file_of_ours_is_malformed(info: tarfile.TarInfo) -> None:
    for tar_format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with pytest.raises(MalformedError):
            archive.unpack(compressed(tar_of(info, tar_format=tar_format)))


def test_long_names_in_the_ways_of_others_are_malformed() -> None:
    for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with pytest.raises(MalformedError):
            archive.unpack(compressed(tar_of(member("x" * 120), tar_format=tar_format)))
    with pytest.raises(MalformedError):
        archive.unpack(compressed(tar_of(member("x/" * 70 + "x"))))


def test_two_members_of_one_name_and_another_order_are_malformed() -> None:
    for infos in ((member("a"), member("a")), (member("b"), member("a"))):
        with pytest.raises(MalformedError):
            archive.unpack(compressed(tar_of(*infos)))


def put(place: int, text: bytes) -> Callable[[bytes], bytes]:
    return lambda plain: plain[:place] + text + plain[place + len(text) :]


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain + b"\0" * 512,
        lambda plain: plain[:-512],
        lambda plain: plain[:600],
        lambda plain: plain[:100],
        lambda _plain: b"",
        put(522, b"!"),  # behind a member's end
        put(2048, b"!"),  # behind the end of the archive
        put(500, b"!"),  # a header's unused bytes
        put(124, b"99999999999"),
        put(124, b"77777777777"),
        put(124, b"\x80\0\0\0\0\0\0\0\0\0\1"),
        put(124, b"-0000000012"),
        put(148, b"000000"),  # the checksum
    ],
)
def test_nothing_hides_between_or_behind_the_members(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(MalformedError):
        archive.unpack(compressed(change(tar_of(member(size=10)))))


def test_trailing_bytes_and_second_frames_are_malformed() -> None:
    packed = archive.pack(MEMBERS)
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0note"
    for data in (packed + b"\0", packed + packed, packed + skippable, skippable + packed):
        with pytest.raises(MalformedError):
            archive.unpack(data)
    padded = packed + b"\0" * (-len(packed) % archive.CHUNK_BYTES)
    if padded == packed:
        padded += b"\0"
    with pytest.raises(MalformedError):
        archive.unpack(padded)


def test_a_cut_archive_is_malformed() -> None:
    packed = archive.pack(MEMBERS)
    for end in range(0, len(packed), 7):
        with pytest.raises(MalformedError):
            archive.unpack(packed[:end])


def test_a_flipped_byte_is_never_another_content() -> None:
    packed = archive.pack(MEMBERS)
    for place in range(len(packed)):
        flipped = bytearray(packed)
        flipped[place] ^= 0x04
        try:
            assert archive.unpack(bytes(flipped)) == MEMBERS
        except MalformedError:
            continue


@given(st.binary(max_size=600) | st.binary(max_size=1500).map(compressed))
def test_any_bytes_are_an_archive_or_malformed(data: bytes) -> None:
    try:
        archive.unpack(data, SMALL)
    except MalformedError:
        return


# --- bombs -------------------------------------------------------------------------------------


def test_a_bomb_is_stopped_long_before_it_is_whole() -> None:
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    bomb = b"".join(compressor.compress(bytes(2**20)) for _ in range(256)) + compressor.flush()
    assert len(bomb) < 50_000
    with pytest.raises(TooLargeError, match="unpacks to more"):
        archive.unpack(bomb)  # by its ratio
    with pytest.raises(TooLargeError, match="unpacks to more"):
        archive.unpack(bomb, SMALL)  # by its size


def test_a_window_that_eats_memory_is_malformed() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = compressor.compress(os.urandom(10)) + compressor.flush()
    with pytest.raises(MalformedError):
        archive.unpack(data)


@pytest.mark.parametrize(
    "members",
    [
        {str(number): b"" for number in range(5)},
        {"a": b"x" * 50_001},
        {"a": b"x" * 40_000, "b": b"y" * 40_000},
    ],
)
def test_caps_hold_when_reading(members: dict[str, bytes]) -> None:
    with pytest.raises(MalformedError):
        archive.unpack(archive.pack(members), SMALL)


def test_what_could_not_be_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "CAPS", SMALL)
    for members in ({"a": b"x" * 50_001}, {str(n): b"" for n in range(5)}):
        with pytest.raises(TooLargeError):
            archive.pack(members)


def test_a_file_beyond_the_cap_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\0" * 200_001)
    with pytest.raises(TooLargeError, match="larger"):
        archive.read(path, SMALL)
