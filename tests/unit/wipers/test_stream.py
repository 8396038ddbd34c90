"""Streams against openssl, HKDF by hand, and every number of docs/pattern.md."""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import mmap
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.domain.patterns import REPEAT_MAX_BYTES, ZERO, Keyed, Pattern, Repeat
from nullbay.wipers.platform.buffers import aligned
from nullbay.wipers.stream import (
    COMPARED_BYTES,
    Stream,
    commitment,
    finding_digest,
    pass_key,
    stream_of,
)
from support.markdown import table

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "pattern.md").read_text("utf-8")
JOB_KEY = bytes(range(32))
LARGEST = 64 * 1024
SECTORS = (512, 4096)
PATTERNS = (
    Keyed(),
    ZERO,
    Repeat(b"\xff"),
    Repeat(bytes.fromhex("924924")),
    Repeat(bytes(range(256)) * 2),
    Repeat(bytes(range(1, 128)) * 4),
)

with_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is the witness")


def cells(header: str) -> list[list[str]]:
    return [[cell.strip("`") for cell in row] for row in table(PAGE, header)]


def taken(pattern: Pattern, offset: int, length: int, step: int = 1) -> bytes:
    stream = stream_of(pattern, JOB_KEY, step, length)
    return bytes(stream.source().take(offset, length))


def filled(stream: Stream, offset: int, length: int) -> bytes:
    buffer = aligned(length)
    stream.fill(offset, buffer)
    return bytes(buffer)


def hkdf(key: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, one block, written out."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def openssl_stream(key: bytes, offset: int, length: int) -> bytes:
    command = ["openssl", "enc", "-aes-256-ctr", "-K", key.hex(), "-iv", f"{offset // 16:032x}"]
    return subprocess.run(command, input=bytes(length), capture_output=True, check=True).stdout


def repeated(unit: bytes, offset: int, length: int) -> bytes:
    return bytes(unit[(offset + at) % len(unit)] for at in range(length))


# --- docs/pattern.md ---------------------------------------------------------------------------


def test_the_page_has_its_tables() -> None:
    heads = ("Job key", "Step", "Of step", "Finding key")
    assert [len(cells(head)) for head in heads] == [2, 3, 9, 2]


@pytest.mark.parametrize(("key", "committed"), cells("Job key"))
def test_commitments(key: str, committed: str) -> None:
    assert commitment(bytes.fromhex(key)) == committed


@pytest.mark.parametrize(("step", "key"), cells("Step"))
def test_pass_keys(step: str, key: str) -> None:
    assert pass_key(JOB_KEY, int(step)).hex() == key
    assert hkdf(JOB_KEY, f"nullbay/overwrite/1/{step}".encode()).hex() == key


@pytest.mark.parametrize(("step", "offset", "first", "digest"), cells("Of step"))
def test_known_answers(step: str, offset: str, first: str, digest: str) -> None:
    got = taken(Keyed(), int(offset), 512, int(step))
    assert (got[:16].hex(), hashlib.sha256(got).hexdigest()) == (first, digest)
    assert filled(stream_of(Keyed(), JOB_KEY, int(step), 512), int(offset), 512) == got


def test_the_first_mebibyte() -> None:
    told = re.search(r"first MiB of step 1 has the SHA-256 `([0-9a-f]{64})`", PAGE)
    assert told
    assert hashlib.sha256(taken(Keyed(), 0, 1 << 20)).hexdigest() == told[1]


@pytest.mark.parametrize(("key", "lba", "digest"), cells("Finding key"))
def test_digests_of_findings(key: str, lba: str, digest: str) -> None:
    assert finding_digest(bytes.fromhex(key), int(lba), bytes(512)) == digest
    assert finding_digest(bytes.fromhex(key), int(lba), memoryview(bytes(512))) == digest


@with_openssl
def test_the_recipe_of_the_page_runs_as_it_stands() -> None:
    block = re.search(r"```sh\n(job_key=.*?)```", PAGE, re.DOTALL)
    assert block
    done = subprocess.run(["sh", "-euc", block[1]], capture_output=True, check=True)
    assert done.stdout == taken(Keyed(), 2048 * 512, 512)


# --- keyed streams -----------------------------------------------------------------------------


@with_openssl
@pytest.mark.parametrize("step", [1, 2, 35])
@pytest.mark.parametrize("offset", [0, 512, 4096, 1 << 30, (1 << 36) - 512, (1 << 40) + 512])
def test_a_keyed_stream_is_what_openssl_makes(step: int, offset: int) -> None:
    key = bytes(reversed(range(32)))
    witness = openssl_stream(hkdf(key, f"nullbay/overwrite/1/{step}".encode()), offset, LARGEST)
    stream = stream_of(Keyed(), key, step, LARGEST)
    assert filled(stream, offset, LARGEST) == witness
    assert bytes(stream.source().take(offset, LARGEST)) == witness
    assert stream.source().is_held_by(writable(witness), offset)


def test_a_job_key_has_32_bytes() -> None:
    for wrong in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="32 bytes"):
            pass_key(wrong, 1)


@pytest.mark.parametrize("offset", [1, 8, 15, 513])
def test_a_keyed_stream_begins_at_multiples_of_16(offset: int) -> None:
    stream = stream_of(Keyed(), JOB_KEY, 1, 512)
    for ask in (
        lambda: stream.fill(offset, aligned(512)),
        lambda: stream.source().take(offset, 512),
        lambda: stream.source().is_held_by(aligned(512), offset),
    ):
        with pytest.raises(ValueError, match="multiples of 16"):
            ask()


def test_no_two_passes_and_no_two_jobs_write_the_same() -> None:
    seen = {taken(Keyed(), 0, 512, step) for step in range(1, 36)}
    seen.add(bytes(stream_of(Keyed(), bytes(32), 1, 512).source().take(0, 512)))
    assert len(seen) == 36


# --- all streams -------------------------------------------------------------------------------


def writable(content: bytes) -> memoryview:
    buffer = aligned(len(content))
    buffer[:] = content
    return buffer


@given(
    pattern=st.sampled_from(PATTERNS),
    sectors=st.tuples(st.integers(0, 60), st.integers(1, 60)),
    sector=st.sampled_from(SECTORS),
)
def test_any_piece_is_a_slice_of_the_whole(
    pattern: Pattern, sectors: tuple[int, int], sector: int
) -> None:
    offset, length = sectors[0] * sector, sectors[1] * sector
    whole = taken(pattern, 0, 120 * 4096)
    want = whole[offset : offset + length]
    stream = stream_of(pattern, JOB_KEY, 1, length)
    source = stream.source()
    assert bytes(source.take(offset, length)) == want
    assert filled(stream, offset, length) == want
    assert source.is_held_by(writable(want), offset)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_source_may_be_asked_in_any_order(pattern: Pattern) -> None:
    stream = stream_of(pattern, JOB_KEY, 1, 4096)
    source = stream.source()
    for offset in (8192, 0, 512, 1 << 40, 0, 8192):
        for length in (512, 4096, 1024):
            want = taken(pattern, offset, length)
            assert bytes(source.take(offset, length)) == want
            assert source.is_held_by(writable(want), offset)


@given(
    unit=st.binary(min_size=1, max_size=REPEAT_MAX_BYTES),
    offset=st.integers(0, 1 << 40),
    length=st.integers(1, 9000),
)
def test_repeated_units_begin_at_byte_0_of_the_drive(unit: bytes, offset: int, length: int) -> None:
    assert taken(Repeat(unit), offset, length) == repeated(unit, offset, length)


@pytest.mark.parametrize("length", [1, 3, 7, 384, 511, 512])
@pytest.mark.parametrize("sector", SECTORS)
def test_units_of_any_length_at_any_sector(length: int, sector: int) -> None:
    unit = bytes((7 * at + 1) % 251 for at in range(length))
    source = stream_of(Repeat(unit), JOB_KEY, 1, 4 * sector).source()
    for lba in (*range(20), 12_345_678_901):
        want = repeated(unit, lba * sector, 4 * sector)
        got = source.take(lba * sector, 4 * sector)
        assert bytes(got) == want
        assert source.is_held_by(writable(want), lba * sector)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_written_stands_at_a_page_of_memory(pattern: Pattern) -> None:
    """O_DIRECT asks for it; a sector of 4096 bytes in the middle of a page would be refused."""
    source = stream_of(pattern, JOB_KEY, 1, 8192).source()
    for sector in SECTORS:
        for lba in range(12):
            view = source.take(lba * sector, sector)
            address = ctypes.addressof(ctypes.c_char.from_buffer(view))
            assert address % mmap.PAGESIZE == 0


@pytest.mark.parametrize("pattern", PATTERNS)
def test_more_than_it_was_made_for_is_refused(pattern: Pattern) -> None:
    """A piece cut short would leave old bytes behind it."""
    stream = stream_of(pattern, JOB_KEY, 1, 4096)
    with pytest.raises(ValueError, match="4608"):
        stream.source().take(0, 4608)
    with pytest.raises(ValueError, match="4608"):
        stream.fill(0, aligned(4608))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", [512, 4096, 4608, COMPARED_BYTES + 512])
def test_one_changed_bit_anywhere_is_seen(pattern: Pattern, size: int) -> None:
    offset = 7 * 512
    buffer = writable(taken(pattern, offset, size))
    source = stream_of(pattern, JOB_KEY, 1, size).source()
    edges = {0, 1, 511, 512, 4095, 4096, 4097, COMPARED_BYTES - 1, COMPARED_BYTES, size - 1}
    for at in sorted(edges & set(range(size))):
        buffer[at] ^= 0x01
        assert not source.is_held_by(buffer, offset), at
        buffer[at] ^= 0x01
    assert source.is_held_by(buffer, offset)


@pytest.mark.parametrize("pattern", [one for one in PATTERNS if one != Keyed()])
def test_bytes_that_repeat_but_are_others_differ(pattern: Repeat) -> None:
    source = stream_of(pattern, JOB_KEY, 1, 65_536).source()
    other = bytes(byte ^ 0xFF for byte in pattern.unit)
    assert not source.is_held_by(writable(repeated(other, 0, 65_536)), 0)
    if len(set(pattern.unit)) > 1:
        assert not source.is_held_by(writable(repeated(pattern.unit, 1, 65_536)), 0)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_lanes_do_not_disturb_each_other(pattern: Pattern) -> None:
    stream = stream_of(pattern, JOB_KEY, 1, LARGEST)
    offsets = [number * LARGEST for number in range(64)]

    def lane(first: int) -> list[str]:
        source = stream.source()
        return [
            hashlib.sha256(source.take(offset, LARGEST)).hexdigest()
            for offset in offsets[first::2]
            if source.is_held_by(writable(filled(stream, offset, LARGEST)), offset)
        ]

    with ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(lane, (0, 1)))
    for first, half in enumerate(halves):
        want = [hashlib.sha256(taken(pattern, at, LARGEST)).hexdigest() for at in offsets[first::2]]
        assert half == want
