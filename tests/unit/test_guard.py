"""The wrong-disk questions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.drive import (
    Attachment,
    Capability,
    Drive,
    DriveIdentity,
    Health,
    NodeAttachment,
    Observed,
    Unit,
)
from nullbay.domain.ids import BayId
from nullbay.domain.method import MediaKind, Transport
from nullbay.domain.ports import HostAnswer, Use, UseKind
from nullbay.domain.reasons import CATALOGUE, Group
from nullbay.domain.text import RawText
from nullbay.wipers.guard import GuardQuestion, Pin, pin_match, refusals
from nullbay.wipers.identify import SHARED_CONTROLLER

NOW = Stamp("2026-11-21T20:00:00.000000Z", 1, "boot", ClockSync.SYNCHRONISED)
NOTHING = HostAnswer((), ())


def drive(
    name: str = "sdb",
    *,
    serial: bytes = b"Z1Z0ABCD",
    wwn: str = "5000c500a1b2c3d4",
    model: bytes = b"ST4000NM0023",
    transport: Transport = Transport.SAS,
) -> Drive:
    return Drive(
        identity=DriveIdentity(
            vendor=RawText(b"SEAGATE"),
            model=RawText(model),
            serial=RawText(serial),
            wwn=wwn,
            eui64="",
            nguid="",
            identify_sha256="",
            identify_source="",
        ),
        attachment=Attachment(
            boot_id="boot",
            nodes=(NodeAttachment("disk", name, "8:16", 7),),
            device_path=f"/sys/devices/pci0000:00/{name}",
            bay=None,
            hba="",
        ),
        observed=Observed(
            at=NOW,
            units=(Unit("disk", 1 << 20, 512, 512, read_only=False),),
            firmware=RawText(b""),
            media=MediaKind.MAGNETIC,
            media_source="",
            transport=transport,
            hidden_areas=(),
            health=Health(),
            removable=False,
        ),
    )


ROOT = drive("sda", serial=b"ROOT", wwn="5000c5000000000a", model=b"SYSTEM")
QUESTION = GuardQuestion(drive(), NOTHING, ROOT, (), BayId("A1"), outside_bays=False)


def codes(question: GuardQuestion) -> list[str]:
    return [refusal.code for refusal in refusals(question)]


def test_an_idle_drive_in_a_bay_may_go_on() -> None:
    assert refusals(QUESTION) == ()


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (UseKind.MOUNT, "guard.mounted"),
        (UseKind.SWAP, "guard.swap"),
        (UseKind.HOLDER, "guard.held"),
        (UseKind.SYSTEM, "guard.system-drive"),
        (UseKind.OPEN, "guard.open-elsewhere"),
    ],
)
def test_every_use_refuses_with_what_was_found(kind: UseKind, code: str) -> None:
    host = HostAnswer((Use("sdb1", kind, "at /mnt/x"),), ())
    (refusal,) = refusals(replace(QUESTION, host=host))
    assert refusal.code == code
    assert refusal.evidence == "sdb1: at /mnt/x"


def test_several_uses_of_a_kind_are_one_refusal_that_names_the_first_and_counts_the_rest() -> None:
    uses = tuple(Use("sdb1", UseKind.MOUNT, f"at /m{at}") for at in range(6))
    (refusal,) = refusals(replace(QUESTION, host=HostAnswer((*uses, uses[0]), ())))
    assert refusal.evidence == (
        "sdb1: at /m0; sdb1: at /m1; sdb1: at /m2; sdb1: at /m3; and 2 more"
    )


def test_what_is_undetermined_counts_as_no() -> None:
    (refusal,) = refusals(replace(QUESTION, host=HostAnswer((), ("mounts: no permission",))))
    assert (refusal.code, refusal.evidence) == ("guard.undetermined", "mounts: no permission")


def test_evidence_that_was_escaped_once_is_not_escaped_again() -> None:
    host = HostAnswer((Use("sdb1", UseKind.MOUNT, r"mounted at /a\x0ab"),), ())
    (refusal,) = refusals(replace(QUESTION, host=host))
    assert refusal.evidence == r"sdb1: mounted at /a\x0ab"


def test_outside_the_bays_only_when_root_says_so() -> None:
    (refusal,) = refusals(replace(QUESTION, bay=None))
    assert refusal.code == "guard.outside-bays"
    assert "/sys/devices/pci0000:00/sdb" in refusal.evidence
    assert refusals(replace(QUESTION, bay=None, outside_bays=True)) == ()


def test_virtual_and_network_disks() -> None:
    virtio = replace(QUESTION, drive=drive(transport=Transport.VIRTIO), outside_bays=True)
    assert codes(virtio) == ["guard.not-a-whole-drive"]
    fabrics = replace(QUESTION, drive=drive(transport=Transport.FABRICS))
    assert codes(fabrics) == []
    assert codes(replace(fabrics, bay=None, outside_bays=True)) == ["guard.not-a-whole-drive"]


def test_a_loop_device_needs_a_bay_or_root_s_word() -> None:
    loop = replace(QUESTION, drive=drive(transport=Transport.LOOP))
    assert codes(loop) == []
    assert codes(replace(loop, bay=None)) == ["guard.outside-bays"]


def test_the_drive_under_root_by_node_and_by_name() -> None:
    by_node = replace(QUESTION, drive=drive("sda"))
    assert codes(by_node) == ["guard.system-drive"]
    moved = replace(ROOT, attachment=drive("sdx").attachment)
    assert codes(replace(QUESTION, drive=moved)) == ["guard.system-drive"]


def test_weak_identities_are_not_taken_for_the_root_drive() -> None:
    weak = drive(serial=b"", wwn="")
    root = drive("sda", serial=b"", wwn="")
    assert codes(replace(QUESTION, drive=weak, root_drive=root)) == []


def test_pinned_disks_are_never_targets() -> None:
    root_pin = Pin("", "ROOT", "SYSTEM")
    for pin in (
        Pin("5000c500a1b2c3d4", "", ""),
        Pin("naa.5000C500A1B2C3D4", "", ""),
        Pin("0x5000c500a1b2c3d4", "other", "other"),
        Pin("", "Z1Z0ABCD", "ST4000NM0023"),
        Pin("", "Z1Z0ABCD", ""),
        Pin("5000c500ffffffff", "Z1Z0ABCD", "ST4000NM0023"),
        Pin("", "Z1Z0ABCD", "behind another bridge"),
    ):
        found = refusals(replace(QUESTION, pins=(root_pin, pin), outside_bays=True))
        assert [refusal.code for refusal in found] == ["guard.pinned"], pin
        assert "pinned" in found[0].evidence


def test_one_serial_for_all_does_not_pin_another_model() -> None:
    pin = Pin("5000c500ffffffff", "Z1Z0ABCD", "CHEAP")
    assert pin_match(pin, drive()) == ""


def test_a_pin_with_a_model_only_means_drives_that_say_no_more() -> None:
    pin = Pin("", "", "CARD")
    assert pin_match(pin, drive(serial=b"", wwn="", model=b"CARD"))
    assert not pin_match(pin, drive(serial=b"1", wwn="", model=b"CARD"))
    assert not pin_match(pin, drive(serial=b"", wwn="", model=b"OTHER"))


def test_an_empty_pin_matches_nothing() -> None:
    assert pin_match(Pin("", "", ""), drive(serial=b"", wwn="", model=b"")) == ""


def test_a_station_that_did_not_boot_from_a_pinned_disk_holds_everything() -> None:
    clone = replace(QUESTION, pins=(Pin("", "OURS", ""),))
    (refusal,) = refusals(clone)
    assert refusal.code == "guard.root-not-pinned"
    assert "sda, serial ROOT" in refusal.evidence
    assert codes(replace(clone, root_drive=None)) == ["guard.undetermined"]
    assert codes(replace(clone, pins=(Pin("", "OURS", ""), Pin("", "ROOT", "")))) == []


def test_without_pins_an_unknown_root_drive_is_left_to_the_host_s_answer() -> None:
    assert codes(replace(QUESTION, root_drive=None)) == []


def test_shared_controllers() -> None:
    shared = Capability(SHARED_CONTROLLER, available=True, source="2 controllers, 1 seen")
    question = replace(QUESTION, drive=replace(drive(), capabilities=(shared,)))
    (refusal,) = refusals(question)
    assert (refusal.code, refusal.evidence) == ("guard.shared-controller", "2 controllers, 1 seen")
    alone = replace(shared, available=False)
    assert codes(replace(QUESTION, drive=replace(drive(), capabilities=(alone,)))) == []


@given(
    serial=st.binary(max_size=300),
    evidence=st.text(max_size=600),
    node=st.text(max_size=40),
    kind=st.sampled_from(UseKind),
    undetermined=st.text(max_size=600),
    pin=st.builds(Pin, *[st.text(max_size=80)] * 3),
)
def test_evidence_is_safe_to_show_whatever_was_found(
    serial: bytes, evidence: str, node: str, kind: UseKind, undetermined: str, pin: Pin
) -> None:
    question = GuardQuestion(
        drive=drive(node, serial=RawText.of(serial).raw),
        host=HostAnswer((Use(node, kind, evidence),), (undetermined,)),
        root_drive=drive("sda", serial=RawText.of(serial).raw),
        pins=(pin,),
        bay=None,
        outside_bays=False,
    )
    found = refusals(question)
    assert {"guard.undetermined", "guard.outside-bays"} <= {refusal.code for refusal in found}
    assert len({refusal.code for refusal in found}) == len(found)
    for refusal in found:
        assert refusal.evidence.isprintable()
        assert len(refusal.evidence) <= 400
        assert CATALOGUE[refusal.code].group is Group.REFUSAL
