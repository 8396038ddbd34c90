from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.agent.intake.refusal import Refusal
from nullbay.agent.intake.scans import (
    AssetTag,
    Badge,
    BayScan,
    LabelSerial,
    ScanContext,
    Unclear,
    Unknown,
    classify,
)
from nullbay.agent.intake.state import IntakeState
from nullbay.config.settings import Operator
from nullbay.domain.ids import BayId
from support.intake import BAYS, IntakeBench, nobody

EMPTY = ScanContext(BAYS, IntakeState(), nobody)


@pytest.mark.parametrize("text", ["A1", "a1", "BAY:A1", "bay a1", "BAY#A1", " A1\r\n"])
def test_a_bay_is_known_by_its_id(text: str) -> None:
    assert classify(text, EMPTY) == BayScan(BayId("A1"))


@pytest.mark.parametrize(
    ("text", "tag"),
    [("TAG:12345", "12345"), ("Asset: X-1", "X-1"), ("INV#7", "7"), ("4711", "4711")],
)
def test_a_tag_says_so_or_is_too_short_for_a_serial(text: str, tag: str) -> None:
    assert classify(text, EMPTY) == AssetTag(tag)


@pytest.mark.parametrize(
    "text",
    [
        "S/N: Z1X2Y3W4",
        "SN:AB",
        "WX31A76R3KFS",
        "WD-WX31A76R3KFS",
        "6SE1ZCSR0000B121LU63",
        "S4EVNX0M123456A",
        "WWN: 5000C500A1B2C3D4",
    ],
)
def test_a_serial_says_so_or_has_the_form_of_one(text: str) -> None:
    assert classify(text, EMPTY) == LabelSerial(text)


def test_what_nothing_explains_is_asked_about() -> None:
    assert classify("INVENTAR-000123", EMPTY) == Unclear("INVENTAR-000123", ("serial", "tag"))
    assert classify("Q" * 100, EMPTY) == Unclear("Q" * 63 + "…", ("serial",))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (" \t\n", "empty"),
        ("x" * 129, "too-long"),
        ("TAG:" + "x" * 65, "too-long"),
        ("Z1\x00X2", "unreadable"),
        ("Z1\u202eX2", "unreadable"),
    ],
)
def test_what_cannot_be_scanned_is_unknown(text: str, why: str) -> None:
    assert classify(text, EMPTY) == Unknown(why)


def test_a_badge_comes_before_all_else_and_its_text_goes_no_further() -> None:
    ada = Operator("ada", "Ada")
    ended = Refusal("person.qualification-ended", "ended")

    def badge(token: str) -> Operator | Refusal:
        known: dict[str, Operator | Refusal] = {"A1": ada, "x" * 300: ada, "S/N: old": ended}
        return known.get(token, nobody(token))

    context = ScanContext(BAYS, IntakeState(), badge)
    assert classify("A1\n", context) == Badge(ada)
    assert classify("x" * 300, context) == Badge(ada)
    assert classify("S/N: old", context) == Badge(ended)
    assert classify("A2", context) == BayScan(BayId("A2"))


def test_the_manifest_of_an_active_lot_decides() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest="Serial,Tag\nPLAINSERIAL1,PLAINTAG0001\n")
    assert bench.classify("plainserial1") == LabelSerial("plainserial1")
    assert bench.classify("PLAINTAG0001") == AssetTag("PLAINTAG0001")
    assert bench.classify("PLAINTAG0002") == Unclear("PLAINTAG0002", ("serial", "tag"))


def test_a_drive_that_is_here_decides_and_so_does_a_near_one() -> None:
    bench = IntakeBench()
    bench.insert("A1", "PLAINSERIAL1")
    assert bench.classify("PLAINSERIAL1") == LabelSerial("PLAINSERIAL1")
    assert bench.classify("PLAINSERIALI") == LabelSerial("PLAINSERIALI")


def test_what_was_announced_or_bound_is_known_again() -> None:
    bench = IntakeBench()
    bench.scan("TAG:LONGTAG-0001")
    bench.scan("S/N: PLAINSERIAL1")
    assert bench.classify("LONGTAG-0001") == AssetTag("LONGTAG-0001")
    assert bench.classify("PLAINSERIAL1") == LabelSerial("PLAINSERIAL1")
    bench.insert("A1", "PLAINSERIAL1")
    assert bench.classify("LONGTAG-0001") == AssetTag("LONGTAG-0001")


def test_one_text_with_two_meanings_is_told_and_not_guessed() -> None:
    bench = IntakeBench()
    bench.open_lot(manifest="Serial,Tag\nPLAINSERIAL1,A1\nA2,SAMESAMESAME\nSAMESAMESAME,X\n")
    assert bench.classify("A1") == Unclear("A1", ("bay", "tag"))
    assert bench.classify("A2") == Unclear("A2", ("bay", "serial"))
    assert bench.classify("SAMESAMESAME") == Unclear("SAMESAMESAME", ("tag", "serial"))
    # and said outright it is what it says
    assert bench.classify("BAY:A1") == BayScan(BayId("A1"))
    assert bench.classify("TAG:A1") == AssetTag("A1")
    assert bench.classify("S/N: SAMESAMESAME") == LabelSerial("S/N: SAMESAMESAME")


@given(st.text(max_size=200))
def test_any_text_is_something(text: str) -> None:
    found = classify(text, EMPTY)
    if isinstance(found, AssetTag):
        assert found.tag.isprintable()
        assert 0 < len(found.tag) <= 64
    if isinstance(found, LabelSerial):
        assert found.serial.isprintable()
        assert len(found.serial) <= 128
