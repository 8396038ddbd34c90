"""`nullbay wipe` on drives made of software: samples, and what a failed drive held stays there."""

from __future__ import annotations

import base64
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from nullbay.domain import sampling
from nullbay.domain.policy import NistR1
from nullbay.domain.ranges import ByteRange
from nullbay.lab.description import DriveDescription, LbaSpan, SlowSpan
from nullbay.lab.hands import make_file_drive
from nullbay.lab.olddata import OldData
from support.command import Done, Operator

MIB = 1 << 20
FULL = "nist-clear-full"


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path / "station")


def flip(image: Path, at: int) -> None:
    with image.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


# --- sampled verification ----------------------------------------------------------------------


def test_a_change_in_a_sample_is_reported_and_samples_can_be_drawn_anew(
    tmp_path: Path, operator: Operator
) -> None:
    """A magnetic drive of more than 128 MiB is verified by samples, and so is its re-check."""
    size = 150 * MIB
    description = DriveDescription(sectors=size // 512, model="LAB", serial="SAMPLED-1")
    path = make_file_drive(tmp_path / "drive.json", description)
    image = tmp_path / "drive.img"
    done = operator.wipe(path, "nist-clear")
    assert done.code in {0, 10}, done.last
    certificate = done.last["certificate"]
    shown = operator.run("cert", "show", certificate).last["statement"]["predicate"]
    (verification,) = [one["result"] for one in shown["verification"] if one["result"]]
    assert verification["profile"]["kind"] == NistR1().kind
    seed = bytes.fromhex(verification["seed"])
    planned = sampling.extents(NistR1(), size, 512, seed)
    assert int(verification["readBytes"]) == sum(one.length for one in planned) < size

    inside = next(one for one in planned if one.start > sampling.EDGE_BYTES)
    outside = next(
        ByteRange(one.end, other.start)
        for one, other in pairwise(planned)
        if one.end > sampling.EDGE_BYTES
    )
    assert operator.recheck(certificate, path).code == 0

    flip(image, inside.start + 7)
    found = operator.recheck(certificate, path, "--samples", "recorded")
    lba = (inside.start + 7) // 512
    assert (found.code, found.last["result"]) == (60, "differs")
    assert (found.last["first_lba"], found.last["mismatched_lbas"]) == (lba, [lba])
    assert found.last["planned_bytes"] == int(verification["plannedBytes"])
    flip(image, inside.start + 7)

    flip(image, outside.start)
    assert operator.recheck(certificate, path, "--samples", "recorded").code == 0
    whole = operator.recheck(certificate, path, "--samples", "full")
    assert (whole.code, whole.last["first_lba"]) == (60, outside.start // 512)
    assert whole.last["planned_bytes"] == size
    fresh = operator.recheck(certificate, path, "--samples", "fresh")
    assert fresh.code in {0, 60}
    assert sampling.EDGE_BYTES < fresh.last["planned_bytes"] < size
    flip(image, outside.start)

    for at in (0, size - 1):  # both ends are always read
        flip(image, at)
        end = operator.recheck(certificate, path, "--samples", "fresh")
        assert (end.code, end.last["first_lba"]) == (60, at // 512)
        flip(image, at)
    assert operator.recheck(certificate, path, "--samples", "fresh").code == 0


def test_a_fixed_pattern_on_a_named_drive_can_be_checked_again(
    tmp_path: Path, operator: Operator
) -> None:
    description = DriveDescription(sectors=8192, model="LAB", serial="ZEROS-1")
    path = make_file_drive(tmp_path / "drive.json", description, old_data=OldData(seed=2))
    done = operator.wipe(path, "hmg-is5-baseline")
    assert done.code in {0, 10}, done.last["reasons"]
    assert (tmp_path / "drive.img").read_bytes() == bytes(4 * MIB)
    assert operator.recheck(done.last["certificate"], path).code == 0
    flip(tmp_path / "drive.img", 512 * 99)
    changed = operator.recheck(done.last["certificate"], path)
    assert (changed.code, changed.last["first_lba"]) == (60, 99)


# --- Ctrl-C twice ------------------------------------------------------------------------------


def test_two_interrupts_leave_it_open_and_the_same_command_resumes(
    tmp_path: Path, operator: Operator
) -> None:
    """The second one comes while the drive still owes the answer that the first one waits for."""
    slow = SlowSpan(first_lba=9000, last_lba=9000, delay_ms=3000)
    description = DriveDescription(sectors=24_576, model="LAB", serial="SLOW-1", slow=(slow,))
    old = OldData(seed=4)
    path = make_file_drive(tmp_path / "drive.json", description, old_data=old)
    with operator.start(*operator.wipe_arguments(path, FULL)) as running:
        running.until_done_bytes(4 * MIB)
        running.interrupt()
        running.until_said(b"Ctrl-C again")
        running.interrupt()
        done = running.wait()
    assert (done.code, done.last["schema"]) == (130, "nullbay.wipe-interrupted/1")
    (row,) = operator.jobs("demo")
    assert row["verdict"] is None
    assert not list(operator.out.glob("*")) if operator.out.exists() else True
    again = operator.wipe(path, FULL)
    assert again.last["job"] == row["job"]
    assert again.code in {0, 10}, again.last["reasons"]
    assert old.left_on(tmp_path / "drive.img", 512) == ()


# --- what a failed drive held ------------------------------------------------------------------

MARKER = b"IBAN DE02120300000000202051 Erika Mustermann 0042-4711"
MARKED = (0, 700, 701, 4095)
FAILED = DriveDescription(sectors=4096, model="LAB", serial="FAILED-1")


def spellings(marker: bytes) -> Iterator[bytes]:
    """Every piece of 16 bytes of it, as it may be written down."""
    for start in range(0, len(marker) - 15, 4):
        piece = marker[start : start + 16]
        yield piece
        yield piece.hex().encode()
        yield piece.hex().upper().encode()
        yield piece.decode().encode("utf-16-le")
        for shift in range(3):
            whole = base64.b64encode(bytes(shift) + piece)
            yield whole[4:-4]  # the middle does not depend on what stands around it


def everything_left(operator: Operator, done: Done) -> Iterator[tuple[str, bytes]]:
    """All that the station keeps, gives away or prints, archives opened and documents as text."""
    yield "standard output", done.stdout
    yield "standard error", done.stderr
    for path in sorted(operator.folder.rglob("*")):
        if not path.is_file():
            continue
        raw = path.read_bytes()
        yield str(path), raw
        if path.name.endswith(".tar.zst"):
            yield f"{path} unpacked", zstandard.ZstdDecompressor().decompress(raw, 1 << 30)
        if path.suffix == ".pdf":
            text = subprocess.run(["pdftotext", path, "-"], capture_output=True, check=True).stdout
            assert b"FAILED-1" in text, "the text of the document can be read at all"
            yield f"{path} as text", text
        if path.name.endswith(".sigstore.json"):
            payload = json.loads(raw)["dsseEnvelope"]["payload"]
            statement = base64.b64decode(payload)
            yield f"{path} statement", statement
            inner = json.loads(statement)["predicate"]["transcript"]["payload"]
            yield f"{path} transcript", base64.b64decode(inner)


@pytest.mark.parametrize(
    "description",
    [
        replace(FAILED, ignored_writes=tuple(LbaSpan(lba, lba) for lba in MARKED)),
        replace(FAILED, unwritable=(LbaSpan(700, 701),)),
        replace(FAILED, unreadable=(LbaSpan(700, 701),), ignored_writes=(LbaSpan(0, 0),)),
    ],
    ids=["ignored writes", "unwritable", "unreadable"],
)
def test_a_marker_on_a_failed_drive_appears_nowhere(
    tmp_path: Path, operator: Operator, description: DriveDescription
) -> None:
    old = OldData(seed=3, marker=MARKER, marker_lbas=MARKED)
    path = make_file_drive(tmp_path / "drive.json", description, old_data=old)
    done = operator.wipe(path, FULL)
    assert (done.code, done.last["verdict"]) == (20, "NOT_SANITIZED")
    assert MARKER in (tmp_path / "drive.img").read_bytes(), "it is there to be told"
    again = operator.recheck(done.last["certificate"], path)
    assert again.code in {30, 60}
    sought = set(spellings(MARKER)) | {old.signature}
    looked_at = 0
    for place, content in [*everything_left(operator, done), ("re-check", again.stdout)]:
        looked_at += 1
        for spelling in sought:
            assert spelling not in content, (place, spelling)
    assert looked_at > 15
    names = {one.name for one in operator.folder.rglob("*")}
    assert any(name.endswith(".pdf") for name in names)
    with tarfile.open(
        fileobj=zstandard.ZstdDecompressor().stream_reader(
            Path(done.last["evidence"]).read_bytes()
        ),
        mode="r|",
    ) as packed:
        assert {"order.json", "ranges.jsonl"} <= {one.name for one in packed}


def test_the_search_finds_a_marker_however_it_is_written() -> None:
    for written in (
        b"x" + MARKER,
        b"y" + MARKER.hex().encode(),
        base64.b64encode(b"z" + MARKER),
        base64.b64encode(b"zz" + MARKER),
        base64.b64encode(MARKER),
        MARKER.decode().encode("utf-16-le"),
    ):
        assert any(one in written for one in spellings(MARKER))
