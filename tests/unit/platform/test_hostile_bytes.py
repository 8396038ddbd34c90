"""Codecs and asking over arbitrary bytes: an answer, or MalformedError, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.domain.errors import MalformedError
from nullbay.wipers.platform import ata, mounts, nvme, scsi
from support import drive_bytes as made

ANY = st.binary(max_size=700)
LONG = st.binary(min_size=4096, max_size=4096)

READERS: dict[str, Callable[[bytes], object]] = {
    "identify": ata.Identify.parse,
    "dco": ata.dco_sectors,
    "smart": ata.smart_figures,
    "inquiry": scsi.Inquiry.parse,
    "serial": scsi.serial,
    "identifiers": scsi.identifiers,
    "rotation": scsi.rotation,
    "page 89h": scsi.ata_identify,
    "capacity": scsi.capacity,
    "controller": nvme.Controller.parse,
    "namespace": nvme.Namespace.parse,
    "namespaces": nvme.namespace_list,
    "health": nvme.HealthLog.parse,
}


@pytest.mark.parametrize("name", READERS)
@given(data=ANY | LONG, page=st.sampled_from([None, 0x80, 0x83, 0x89, 0xB1]))
def test_any_bytes_are_read_or_refused(name: str, data: bytes, page: int | None) -> None:
    given_data = data if page is None else made.vpd(page, data)
    with suppress(MalformedError):
        READERS[name](given_data)


@given(sense=st.binary(max_size=64), head=st.sampled_from([b"", b"\x72\x01", b"\x70\x00"]))
def test_any_sense_gives_registers_or_none(sense: bytes, head: bytes) -> None:
    answer = ata.answer_of(head + sense, b"")
    sectors = ata.native_max_sectors(answer)
    assert sectors is None or 1 <= sectors <= 1 << 48
    assert scsi.sense_key(head + sense) in {None, *range(16)}


@given(body=st.binary(min_size=510, max_size=510))
def test_any_identify_data_give_names_that_can_be_shown(body: bytes) -> None:
    data = bytearray(body + bytes(2))
    data[1] &= 0x7F
    told = ata.Identify.parse(made.checked(data))
    for name in (told.serial, told.model, told.firmware):
        assert name.shown.isprintable()
    assert told.sectors >= 0
    assert told.logical_sector_bytes >= 512
    assert told.wwn == "" or len(told.wwn) == 16


@given(content=st.binary(max_size=400))
def test_any_mountinfo_is_read(content: bytes) -> None:
    line = b"36 35 8:1 / " + content + b" rw - " + content
    for mount in mounts.parse_mountinfo(content + b"\n" + line):
        assert isinstance(mount.is_system, bool)
    mounts.parse_swaps(content)
