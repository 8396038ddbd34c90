from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nullbay.config.aliases import (
    Different,
    Match,
    Near,
    drive_spellings,
    folded,
    is_bridged,
    label_readings,
    likeness,
    same_drive,
)
from nullbay.config.intake_rules import label_rules
from nullbay.domain.drive import DriveIdentity
from nullbay.domain.method import Transport
from support.drives import drive
from support.intake import identity

SEAGATE = (b"SEAGATE", b"ST12000NM0027")
WD = (b"", b"WDC WD10JFCX-68N6GN0")
WWN = "5000c500a1b2c3d4"


@pytest.mark.parametrize(
    ("label", "device", "rule"),
    [
        ("Z1X2Y3W4", identity("Z1X2Y3W4"), "exact"),
        ("z1x2 y3w4", identity("Z1X2Y3W4"), "case-and-blanks"),
        ("S4EV NX0M 1234 56A", identity("S4EVNX0M123456A"), "case-and-blanks"),
        ("S/N: Z1X2Y3W4", identity("Z1X2Y3W4"), "serial-words"),
        ("SN:Z1X2Y3W4", identity("Z1X2Y3W4"), "serial-words"),
        ("s/n z1x2y3w4", identity("Z1X2Y3W4"), "serial-words-blank"),
        ("Serial No.: Z1X2Y3W4", identity("Z1X2Y3W4"), "serial-words"),
        ("Seriennummer: Z1X2Y3W4", identity("Z1X2Y3W4"), "serial-words"),
        ("WX31A76R3KFS", identity("WD-WX31A76R3KFS", kind=WD), "wd-prefix"),
        ("WD-WX31A76R3KFS", identity("WD-WX31A76R3KFS", kind=WD), "exact"),
        ("S/N: WX31A76R3KFS", identity("WD-WX31A76R3KFS", kind=WD), "serial-words+wd-prefix"),
        ("6SE1ZCSR", identity("6SE1ZCSR0000B121LU63", kind=SEAGATE), "seagate-sas-8-of-20"),
        ("6SE1ZCSR0000B121LU63", identity("6SE1ZCSR0000B121LU63", kind=SEAGATE), "exact"),
        ("5000C500A1B2C3D4", identity("Z1", wwn=WWN), "wwn"),
        ("5000C500 A1B2C3D4", identity("Z1", wwn="0x" + WWN), "wwn"),
        ("WWN: 5000C500A1B2C3D4", identity("Z1", wwn="naa." + WWN), "wwn-words+wwn"),
    ],
)
def test_a_label_is_the_drive_s_by_a_rule(label: str, device: DriveIdentity, rule: str) -> None:
    assert same_drive(label, device) == Match(rule)


@pytest.mark.parametrize(
    ("label", "device", "why"),
    [
        ("Z1X2Y3WO", identity("Z1X2Y3W0"), "lookalikes"),
        ("ZIX2Y3W4", identity("Z1X2Y3W4"), "lookalikes"),
        ("Z1X2Y3W4", identity("Z1X2Y3W5"), "one-character"),
        ("Z1X2Y3W", identity("Z1X2Y3W4"), "one-character"),
        ("Z1X2YW34", identity("Z1X2Y3W4"), "one-character"),
        ("Z1X2Y3W4", identity("Z1X2Y3W4AB12"), "part"),
        # a rule of another vendor would agree: not a match, and not nothing
        ("WX31A76R3KFS", identity("WD-WX31A76R3KFS", kind=(b"", b"ST4000")), "vendor"),
        ("6SE1ZCSR", identity("6SE1ZCSR0000B121LU63", kind=(b"HGST", b"")), "vendor"),
    ],
)
def test_what_is_like_it_is_near_with_the_reason(
    label: str, device: DriveIdentity, why: str
) -> None:
    assert same_drive(label, device) == Near((device.serial.shown,), why)


@pytest.mark.parametrize(
    ("label", "device"),
    [
        ("", identity("Z1X2Y3W4")),
        ("   ", identity("Z1X2Y3W4")),
        ("Z1X2Y3W4", identity("")),
        ("", identity("")),
        ("S/N:", identity("")),
        ("Q7R8T9V2", identity("Z1X2Y3W4")),
        # too short to say anything
        ("123", identity("124")),
        ("Z1X2Y", identity("Z1X2Y3W4")),
        # a Seagate serial of another form
        ("6SE1ZCSR", identity("6SE1ZCSR1111B121LU63", kind=SEAGATE)),
        ("5000C500A1B2C3D4", identity("Z1", wwn="5000c500ffffffff")),
        ("Z1X2Y3W4", identity(b"Z1\xffX2Y3W4\xff\xfe")),
    ],
)
def test_what_has_nothing_in_common_is_different(label: str, device: DriveIdentity) -> None:
    found = same_drive(label, device)
    assert not isinstance(found, Match)
    assert isinstance(found, Different) or found.why == "part"


def test_behind_a_bridge_even_the_same_serial_is_only_near() -> None:
    device = identity("Z1X2Y3W4")
    assert same_drive("Z1X2Y3W4", device, bridged=True) == Near(("Z1X2Y3W4",), "bridge")


def test_a_bridge_answers_where_the_drive_did_not_identify_itself() -> None:
    usb = drive(transport=Transport.USB)
    assert not is_bridged(usb)
    told = replace(usb, identity=replace(usb.identity, identify_source="INQUIRY, VPD pages 80h"))
    assert is_bridged(told)
    sas = replace(told, observed=replace(told.observed, transport=Transport.SAS))
    assert not is_bridged(sas)


def test_every_rule_names_its_source_and_is_found_by_its_id() -> None:
    rules = label_rules().rules
    assert len({rule.rule_id for rule in rules}) == len(rules) >= 6
    assert all(rule.source and rule.meaning for rule in rules)


# --- no rule makes two different serials equal ---------------------------------------------------

SERIALS = st.from_regex(r"[0-9A-Z]{8,20}", fullmatch=True)
DEVICES = st.one_of(
    SERIALS,
    SERIALS.map("WD-{}".format),
    st.from_regex(r"[0-9A-Z]{8}0000[0-9A-Z]{8}", fullmatch=True),
)
KINDS = st.sampled_from([SEAGATE, WD, (b"HGST", b"HUS724040ALS640"), (b"", b"")])
LABELS = st.one_of(DEVICES, DEVICES.map("S/N: {}".format), DEVICES.map(str.lower))


@given(DEVICES, DEVICES, KINDS)
def test_a_long_serial_never_matches_another_drive_of_its_length(
    one: str, other: str, kind: tuple[bytes, bytes]
) -> None:
    assume(one != other and len(one) == len(other))
    assert not isinstance(same_drive(one, identity(other, kind=kind)), Match)


@given(DEVICES, st.integers(0, 19), st.sampled_from("0OQ1IL5S8BZ2"), KINDS)
def test_a_near_miss_never_matches(
    serial: str, place: int, character: str, kind: tuple[bytes, bytes]
) -> None:
    place %= len(serial)
    wrong = serial[:place] + character + serial[place + 1 :]
    assume(wrong != serial)
    for label in (wrong, f"S/N: {wrong}", wrong.lower()):
        assert not isinstance(same_drive(label, identity(serial, kind=kind)), Match)


@given(LABELS, DEVICES, DEVICES, KINDS)
def test_one_label_matches_two_drives_only_if_the_same_eight_characters_name_both(
    label: str, one: str, other: str, kind: tuple[bytes, bytes]
) -> None:
    assume(one != other)
    if all(isinstance(same_drive(label, identity(d, kind=kind)), Match) for d in (one, other)):
        mine = drive_spellings(identity(one, kind=kind)).keys()
        common = mine & drive_spellings(identity(other, kind=kind)).keys()
        assert any(len(text) >= 8 for text in common)


@given(DEVICES, KINDS)
def test_what_a_rule_takes_is_a_part_of_the_serial_of_at_least_eight_characters(
    serial: str, kind: tuple[bytes, bytes]
) -> None:
    for text in drive_spellings(identity(serial, kind=kind)):
        assert text in serial
        assert len(text) >= 8


@given(DEVICES, KINDS)
def test_every_spelling_of_a_drive_matches_it(serial: str, kind: tuple[bytes, bytes]) -> None:
    device = identity(serial, kind=kind)
    for text in drive_spellings(device):
        for label in (text, f"S/N: {text}", f" {text.lower()} "):
            assert isinstance(same_drive(label, device), Match)


@given(st.text(max_size=200), st.binary(max_size=40))
def test_any_texts_compare_without_an_error(label: str, serial: bytes) -> None:
    found = same_drive(label, identity(serial))
    if isinstance(found, Match):
        assert label_readings(label).keys() & drive_spellings(identity(serial)).keys()


@given(SERIALS, SERIALS)
def test_likeness_is_mutual(one: str, other: str) -> None:
    assert likeness(one, other) == likeness(other, one)


@given(SERIALS, st.integers(0, 30), st.sampled_from(["change", "drop", "add", "swap"]))
def test_one_typing_slip_is_near(serial: str, place: int, slip: str) -> None:
    place %= len(serial) - 1
    before, at, rest = serial[:place], serial[place], serial[place + 1 :]
    wrong = {
        "change": before + ("#" if at != "#" else "%") + rest,
        "drop": before + rest,
        "add": before + "#" + at + rest,
        "swap": before + rest[:1] + at + rest[1:],
    }[slip]
    assume(wrong != serial)
    assert likeness(folded(wrong), serial)
