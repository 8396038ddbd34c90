"""What a drive is asked, and what becomes of its answers, over ports made of byte strings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.drive import (
    Attachment,
    Drive,
    DriveIdentity,
    Health,
    HiddenArea,
    HiddenState,
    NodeAttachment,
    Observed,
    Unit,
)
from nullbay.domain.method import MediaKind, Transport
from nullbay.domain.ports import (
    AtaAnswer,
    AtaTaskfile,
    NvmeAnswer,
    NvmeCommand,
    PortError,
    PortErrorKind,
    ScsiAnswer,
)
from nullbay.domain.text import RawText
from nullbay.wipers.identify import SHARED_CONTROLLER, Answer, IdentityError, combine
from nullbay.wipers.platform import asking, ata
from support import drive_bytes as made

SECTORS = 1953525168
NONE = AtaAnswer(None, None, None, None, b"", b"")


@dataclass
class Ata:
    """Answers by command; what is not there is refused. An error is raised."""

    answers: dict[int, bytes | int | PortError]
    sent: list[int] = field(default_factory=list)

    def ata(
        self, taskfile: AtaTaskfile, *, data_in_bytes: int, data_out: bytes, timeout_s: float
    ) -> AtaAnswer:
        assert 0 < timeout_s <= 30
        assert not data_out
        self.sent.append(taskfile.command)
        answer = self.answers.get(taskfile.command, b"")
        if isinstance(answer, PortError):
            raise answer
        if isinstance(answer, int):
            assert data_in_bytes == 0
            return ata.answer_of(made.ata_status_sense(lba=answer), b"")
        return replace(NONE, data=answer[:data_in_bytes])


@dataclass
class Scsi:
    """Answers by first byte and page of the CDB."""

    answers: dict[tuple[int, int], bytes]

    def scsi(
        self, cdb: bytes, *, data_in_bytes: int, data_out: bytes, timeout_s: float
    ) -> ScsiAnswer:
        assert not data_out
        data = self.answers.get((cdb[0], cdb[2] if cdb[1] == 1 else -1))
        if data is None:
            return ScsiAnswer(2, b"\x70\x00\x05" + bytes(15), b"\xff" * data_in_bytes, 0)
        return ScsiAnswer(0, b"", data[:data_in_bytes], 0)


@dataclass
class Nvme:
    """Answers by CNS and namespace id, or by log page as `-page`."""

    answers: dict[tuple[int, int], bytes]
    error: PortError | None = None

    def admin(
        self, command: NvmeCommand, *, data_in_bytes: int, data_out: bytes, timeout_s: float
    ) -> NvmeAnswer:
        assert command.opcode in {0x06, 0x02}, "nothing else is harmless"
        if self.error:
            raise self.error
        key = command.cdw10 & 0xFF if command.opcode == 0x06 else -(command.cdw10 & 0xFF)
        data = self.answers.get((key, command.nsid if command.opcode == 0x06 else 0))
        if data is None:
            return NvmeAnswer(0x0B, 0, b"")
        return NvmeAnswer(0, 0, data[:data_in_bytes])


def areas(answer: Answer) -> dict[str, tuple[HiddenState, int]]:
    return {area.name: (area.state, area.hidden_bytes) for area in answer.hidden_areas}


def asked(port: Ata) -> Answer:
    answer = asking.ask_ata(port, "disk", bridged=False)
    assert answer is not None
    return answer


ALL_FEATURES = {82: 0x0401, 83: 0x4C00, 119: 0x4100}


def test_a_disk_without_hidden_area_features() -> None:
    port = Ata({0xEC: made.identify(), 0xB0: made.smart({5: bytes(6), 197: bytes(6)})})
    answer = asked(port)
    assert answer.identity.serial.raw == b"WD-WCC1S0123456"
    assert answer.media is MediaKind.MAGNETIC
    assert answer.units[0].size_bytes == SECTORS * 512
    assert set(areas(answer).values()) == {(HiddenState.ABSENT, 0)}
    assert answer.health == Health(reallocated_sectors=0, pending_sectors=0)
    assert port.sent == [0xEC, 0xB0], "what a drive has not is not asked for"


def test_all_sizes_agree() -> None:
    answers: dict[int, bytes | int | PortError] = {
        0xEC: made.identify(words=ALL_FEATURES),
        0x27: SECTORS - 1,
        0x78: SECTORS - 1,
        0xB1: made.dco(SECTORS - 1),
    }
    assert areas(asked(Ata(answers))) == {
        "HPA": (HiddenState.ABSENT, 0),
        "DCO": (HiddenState.ABSENT, 0),
        "AMAX": (HiddenState.ABSENT, 0),
    }


def test_an_hpa_and_a_dco_below_it() -> None:
    answers: dict[int, bytes | int | PortError] = {
        0xEC: made.identify(sectors=1000, words=ALL_FEATURES),
        0x27: 1499,
        0x78: 1499,
        0xB1: made.dco(1999),
    }
    assert areas(asked(Ata(answers))) == {
        "HPA": (HiddenState.PRESENT, 500 * 512),
        "DCO": (HiddenState.PRESENT, 1000 * 512),
        "AMAX": (HiddenState.PRESENT, 500 * 512),
    }


@pytest.mark.parametrize(
    "answer", [b"", 0, 998, PortError(PortErrorKind.OTHER, "refused", errno="EIO")]
)
def test_a_refused_or_impossible_size_leaves_the_question_open(
    answer: bytes | int | PortError,
) -> None:
    answers = {0xEC: made.identify(sectors=1000, words={82: 0x0401}), 0x27: answer}
    assert areas(asked(Ata(answers)))["HPA"] == (HiddenState.UNKNOWN, 0)


def test_words_that_are_not_valid_leave_every_question_open() -> None:
    told = areas(asked(Ata({0xEC: made.identify(words={83: 0})})))
    assert told["HPA"][0] is HiddenState.UNKNOWN
    assert told["DCO"][0] is HiddenState.UNKNOWN


@pytest.mark.parametrize("kind", [PortErrorKind.TIMEOUT, PortErrorKind.GONE])
@pytest.mark.parametrize("command", [0xEC, 0x27, 0xB1, 0xB0])
def test_a_drive_that_hangs_or_left_is_asked_no_more(command: int, kind: PortErrorKind) -> None:
    answers: dict[int, bytes | int | PortError] = {
        0xEC: made.identify(words=ALL_FEATURES),
        command: PortError(kind, "no answer"),
    }
    port = Ata(answers)
    with pytest.raises(PortError) as caught:
        asking.ask_ata(port, "disk", bridged=False)
    assert caught.value.kind is kind
    assert port.sent[-1] == command


@pytest.mark.parametrize(
    "data", [b"", bytes(512), b"\xff" * 512, PortError(PortErrorKind.OTHER, "no")]
)
def test_a_silent_bridge_gives_no_answer(data: bytes | PortError) -> None:
    assert asking.ask_ata(Ata({0xEC: data}), "disk", bridged=True) is None


def test_not_being_allowed_to_ask_is_not_the_drive_s_silence() -> None:
    denied = PortError(PortErrorKind.OTHER, "no", errno="EPERM")
    with pytest.raises(PortError) as caught:
        asking.ask_ata(Ata({0xEC: denied}), "disk", bridged=False)
    assert caught.value is denied


def test_no_command_changes_a_drive() -> None:
    answers: dict[int, bytes | int | PortError] = {0xEC: made.identify(words=ALL_FEATURES)}
    port = Ata(answers)
    asked(port)
    assert set(port.sent) <= {0xEC, 0x27, 0xF8, 0x78, 0xB1, 0xB0}


SCSI = {
    (0x12, -1): made.inquiry(),
    (0x12, 0x80): made.vpd(0x80, b"Z1Z0ABCD"),
    (0x12, 0x83): made.vpd(0x83, made.designator(3, bytes.fromhex("5000c500a1b2c3d4"))),
    (0x12, 0xB1): made.vpd(0xB1, b"\x1c\x20" + bytes(58)),
    (0x9E, -1): (1999).to_bytes(8, "big") + b"\x00\x00\x02\x00" + bytes(20),
}


def test_a_scsi_disk() -> None:
    answer = asking.ask_scsi(Scsi(SCSI), "disk")
    assert answer.identity.serial.raw == b"Z1Z0ABCD"
    assert answer.identity.wwn == "5000c500a1b2c3d4"
    assert answer.media is MediaKind.MAGNETIC
    assert answer.units[0].size_bytes == 2000 * 512
    assert not asking.is_ata_behind(Scsi(SCSI))


def test_a_scsi_disk_that_says_little() -> None:
    answer = asking.ask_scsi(Scsi({(0x12, -1): made.inquiry()}), "disk")
    assert not answer.identity.is_strong
    assert answer.units == ()
    assert answer.media_source == ""
    with pytest.raises(PortError):
        asking.ask_scsi(Scsi({}), "disk")


def test_an_ata_drive_behind_a_scsi_adapter() -> None:
    assert asking.is_ata_behind(Scsi({(0x12, -1): made.inquiry(vendor=b"ATA")}))


def nvme(answers: dict[tuple[int, int], bytes], seen: int = 1) -> Answer:
    usual = {
        (0x01, 0): made.controller(),
        (0x02, 0): made.numbers([1]),
        (0x00, 1): made.namespace(blocks=1000, eui64=b"\x00\x25\x38\x5a\x91\xb0\xc1\xd2"),
        (-2, 0): made.health_log(),
    }
    return asking.ask_nvme(Nvme(usual | answers), seen)


MANAGED = made.controller(oacs=8, total=1 << 40, unallocated=0)


def test_an_nvme_drive() -> None:
    answer = nvme({})
    assert answer.identity.serial.raw == b"S4EWNX0R123456"
    assert answer.identity.eui64 == "0025385a91b0c1d2"
    assert [(unit.unit_id, unit.size_bytes) for unit in answer.units] == [("nsid:1", 512000)]
    assert areas(answer) == {"unallocated NVM capacity": (HiddenState.ABSENT, 0)}
    assert answer.health.temperature_celsius == 38
    assert answer.shared == ""


def test_unallocated_capacity_is_hidden() -> None:
    managed = {(0x10, 0): made.numbers([1])}
    some = made.controller(oacs=8, total=1 << 40, unallocated=4096)
    assert areas(nvme(managed | {(0x01, 0): some})) == {
        "unallocated NVM capacity": (HiddenState.PRESENT, 4096)
    }
    assert areas(nvme(managed | {(0x01, 0): MANAGED}))["unallocated NVM capacity"] == (
        HiddenState.ABSENT,
        0,
    )
    silent = made.controller(oacs=8)
    assert areas(nvme(managed | {(0x01, 0): silent}))["unallocated NVM capacity"] == (
        HiddenState.UNKNOWN,
        0,
    )


def test_namespaces_without_a_node_are_among_the_units() -> None:
    answer = nvme(
        {
            (0x01, 0): MANAGED,
            (0x10, 0): made.numbers([1, 5]),
            (0x11, 5): made.namespace(blocks=8, shift=12),
        }
    )
    assert [(unit.unit_id, unit.size_bytes) for unit in answer.units] == [
        ("nsid:1", 512000),
        ("nsid:5", 32768),
    ]


def test_namespaces_that_do_not_tell_leave_the_question_open() -> None:
    answer = nvme({(0x02, 0): made.numbers([1, 2])})
    assert areas(answer)["namespace nsid:2"] == (HiddenState.UNKNOWN, 0)


def test_a_thousand_namespaces_are_not_asked_one_by_one() -> None:
    many = {(0x00, nsid): made.namespace() for nsid in range(1, 1025)}
    answer = nvme(many | {(0x02, 0): made.numbers(list(range(1, 1025)))})
    assert len(answer.units) == 128
    assert areas(answer)["namespaces after the first 128"] == (HiddenState.UNKNOWN, 0)


@pytest.mark.parametrize(
    ("cmic", "listed", "seen", "shared"),
    [
        (0x00, None, 1, False),
        (0x02, 1, 1, False),
        (0x02, 2, 2, False),
        (0x02, 2, 1, True),
        (0x02, None, 1, True),
    ],
)
def test_controllers_other_hosts_may_use(
    cmic: int, listed: int | None, seen: int, shared: bool
) -> None:
    answers = {(0x01, 0): made.controller(cmic=cmic)}
    if listed is not None:
        answers[0x13, 0] = listed.to_bytes(2, "little").ljust(4096, b"\x00")
    assert bool(nvme(answers, seen).shared) == shared


def test_an_nvme_drive_that_hangs_or_says_nothing() -> None:
    for answers, error in (({}, None), ({}, PortError(PortErrorKind.TIMEOUT, "late"))):
        with pytest.raises(PortError):
            asking.ask_nvme(Nvme(answers, error), 1)


# --- what the kernel recorded against what the drive says ---------------------------------------

UNASKED = HiddenArea("capacity outside the addressable range", HiddenState.UNKNOWN, 0, "not asked")


def listed(
    *,
    serial: bytes = b"WD-WCC1S0123456",
    model: bytes = b"WDC WD10EZEX-08W",
    size: int = SECTORS * 512,
    transport: Transport = Transport.SATA,
    areas: tuple[HiddenArea, ...] = (UNASKED,),
) -> Drive:
    names = DriveIdentity(
        RawText(b""), RawText(model), RawText(serial), "50014ee2b5f0a1c3", "", "", "", "sysfs"
    )
    return Drive(
        identity=names,
        attachment=Attachment(
            "boot", (NodeAttachment("disk", "sdb", "8:16", 9),), "/sys/x", None, ""
        ),
        observed=Observed(
            at=Stamp("2026-11-21T20:00:00.000000Z", 1, "boot", ClockSync.UNKNOWN),
            units=(Unit("disk", size, 512, 4096, read_only=False),),
            firmware=RawText(b"1A01"),
            media=MediaKind.UNKNOWN,
            media_source="",
            transport=transport,
            hidden_areas=areas,
            health=Health(),
            removable=False,
        ),
    )


def told(**changes: object) -> Answer:
    identify: Callable[..., bytes] = made.identify
    answer = asking.ask_ata(
        Ata({0xEC: identify(**changes)}), "disk", bridged=changes.pop("bridged", False) is True
    )
    assert answer is not None
    return answer


def test_the_drive_s_own_words_replace_the_kernel_s() -> None:
    drive = combine(listed(), told())
    assert drive.identity.model.raw == b"WDC WD10EZEX-08WN4A0"
    assert drive.observed.firmware.raw == b"01.01A01"
    assert drive.observed.media is MediaKind.MAGNETIC
    assert {area.state for area in drive.observed.hidden_areas} == {HiddenState.ABSENT}
    assert drive.attachment == listed().attachment


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"serial": b"ANOTHER"}, "serial: the drive says 'ANOTHER', the kernel recorded 'WD-WC"),
        ({"serial": b""}, "serial: the drive says nothing"),
        ({"model": b"WDC WD20"}, "model"),
        ({"wwn": 0x5000C500A1B2C3D4}, "wwn"),
        ({"serial": b"\x1b[2J"}, r"\x1b[2J"),
    ],
)
def test_another_drive_in_the_same_place_is_found(changes: dict[str, object], words: str) -> None:
    with pytest.raises(IdentityError) as caught:
        combine(listed(), told(**changes))
    assert caught.value.refusal.code == "identity.disagrees"
    assert caught.value.code == "identity.disagrees"
    assert words in caught.value.refusal.evidence
    assert caught.value.refusal.evidence.isprintable()


def test_what_the_kernel_did_not_record_contradicts_nothing() -> None:
    unnamed = listed(serial=b"", model=b"")
    assert combine(unnamed, told()).identity.serial.raw == b"WD-WCC1S0123456"


def test_a_bridge_answers_inquiry_in_its_own_name() -> None:
    answer = replace(told(), bridged=True)
    bridge = listed(serial=b"00000001", model=b"USB-SATA", transport=Transport.USB)
    assert combine(bridge, answer).identity.serial.raw == b"WD-WCC1S0123456"
    with pytest.raises(IdentityError) as caught:
        combine(bridge, None)
    assert caught.value.refusal.code == "identity.drive-silent"


@pytest.mark.parametrize("transport", [Transport.SATA, Transport.NVME, Transport.SAS])
def test_a_drive_that_could_not_be_asked_is_not_identified(transport: Transport) -> None:
    with pytest.raises(IdentityError, match="did not answer"):
        combine(listed(transport=transport), None)


def test_a_loop_device_has_nothing_to_ask() -> None:
    loop = listed(transport=Transport.LOOP)
    assert combine(loop, None) == loop


def test_capacity_the_kernel_does_not_show_is_hidden() -> None:
    drive = combine(listed(size=1000 * 512), told())
    (area,) = [a for a in drive.observed.hidden_areas if a.state is HiddenState.PRESENT]
    assert area.hidden_bytes == (SECTORS - 1000) * 512


def test_a_drive_smaller_than_the_kernel_thinks_is_another_drive() -> None:
    with pytest.raises(IdentityError, match="bytes"):
        combine(listed(size=(SECTORS + 1) * 512), told())


def test_a_tail_stays_hidden_after_asking() -> None:
    tail = HiddenArea("tail of disk", HiddenState.PRESENT, 512, "size")
    drive = combine(listed(areas=(UNASKED, tail)), told())
    assert tail in drive.observed.hidden_areas
    assert UNASKED not in drive.observed.hidden_areas


def test_unattached_namespaces_are_hidden_capacity() -> None:
    space = Unit("nsid:1", 512000, 512, 512, read_only=False)
    kernel = listed(transport=Transport.NVME, serial=b"S4EWNX0R123456", model=b"Samsung")
    kernel = replace(
        kernel,
        identity=replace(kernel.identity, wwn=""),
        observed=replace(kernel.observed, units=(space,), media=MediaKind.FLASH),
    )
    answer = nvme(
        {
            (0x01, 0): made.controller(oacs=8, total=1 << 40, cmic=2),
            (0x10, 0): made.numbers([1, 5]),
            (0x11, 5): made.namespace(blocks=8, shift=12),
        }
    )
    drive = combine(kernel, answer)
    (area,) = [a for a in drive.observed.hidden_areas if a.state is HiddenState.PRESENT]
    assert (area.name, area.hidden_bytes) == ("unattached namespace nsid:5", 32768)
    assert drive.observed.media is MediaKind.FLASH, "kept where the drive does not say"
    assert [c.technique for c in drive.capabilities] == [SHARED_CONTROLLER]
