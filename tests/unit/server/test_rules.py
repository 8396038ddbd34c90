"""The pure rules: findings from facts, accounts from records, and the search key."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.config.server_settings import FindingLimits
from nullbay.domain.clock import Stamp
from nullbay.domain.outcome import JobEnd
from nullbay.domain.verdict import Verdict
from nullbay.server.accounts import (
    CHAIN_CODES,
    LotFacts,
    StationLedger,
    account_lot,
    account_station,
    merged,
)
from nullbay.server.cards import JobCard, LineState, ManifestLine, RecordCard
from nullbay.server.finding_kinds import catalogue_markdown
from nullbay.server.findings import (
    CATALOGUE,
    Facts,
    InsertionFacts,
    JobFacts,
    StationFacts,
    age_s,
    derive,
)
from nullbay.server.ingest_routes import STATUSES
from nullbay.server.search import clean, key_of
from support import evidence_factory as factory
from support.tree import TOP

LIMITS = FindingLimits()
QUIET = StationFacts("bench-1", True, factory.stamp(0), None, None, 0, None, None)
WHOLE = JobFacts(
    "bench-1", "j-1", "i-1", 1, 1, factory.stamp(0), factory.stamp(0), None,
    insertion_closed=True, has_record=True,
)  # fmt: skip


def codes(*facts: StationFacts | JobFacts | InsertionFacts, second: float = 0) -> list[str]:
    stations = tuple(one for one in facts if isinstance(one, StationFacts))
    jobs = tuple(one for one in facts if isinstance(one, JobFacts))
    insertions = tuple(one for one in facts if isinstance(one, InsertionFacts))
    found = derive(Facts(stations, jobs, insertions), factory.stamp(second), LIMITS)
    return [one.code for one in found]


def test_what_is_whole_is_no_finding() -> None:
    assert codes(WHOLE, InsertionFacts("bench-1", "i-1", 1), second=10**9) == []


@pytest.mark.parametrize(
    ("facts", "limit", "code"),
    [
        (QUIET, LIMITS.offline_s, "station.silent"),
        (replace(QUIET, seen=factory.stamp(0)), LIMITS.offline_s, "station.silent"),
        (
            replace(QUIET, seen=factory.stamp(10**9), gap_since=factory.stamp(0), gap_got=7),
            LIMITS.gap_s,
            "ledger.gap",
        ),
        (
            replace(WHOLE, conclusions=0, concluded_received=None),
            LIMITS.job_open_s,
            "job.open-too-long",
        ),
        (
            replace(
                WHOLE,
                conclusions=0,
                concluded_received=None,
                started_received=factory.stamp(-(10**7)),
                shown=factory.stamp(0),
            ),
            LIMITS.job_open_s,
            "job.open-too-long",
        ),
        (replace(WHOLE, has_record=False), LIMITS.record_missing_s, "record.missing"),
        (
            replace(WHOLE, insertion_closed=False),
            LIMITS.insertion_open_s,
            "insertion.open-too-long",
        ),
    ],
)
def test_a_limit_holds_to_the_second(facts: StationFacts | JobFacts, limit: int, code: str) -> None:
    assert codes(facts, second=limit) == []
    assert codes(facts, second=limit + 1) == [code]


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (replace(WHOLE, starts=0, started_received=None), "job.never-started"),
        (replace(WHOLE, starts=2), "job.doubled"),
        (replace(WHOLE, conclusions=2), "job.doubled"),
        (InsertionFacts("bench-1", "i-1", 2), "insertion.doubled"),
        (replace(QUIET, configured=False), "station.removed"),
    ],
)
def test_what_cannot_be_is_found_at_once(
    facts: StationFacts | JobFacts | InsertionFacts, code: str
) -> None:
    assert codes(facts) == [code]


def test_a_lost_archive_is_found() -> None:
    found = derive(Facts(lost=(("bench-1", "ab" * 32),)), factory.stamp(0), LIMITS)
    assert [(one.code, one.subject) for one in found] == [("evidence.lost", "ab" * 32)]


@given(st.floats(-(10**6), 10**6), st.floats(-(10**6), 10**6), st.floats(0, 10**6))
def test_age_within_a_boot_ignores_the_wall_clock(jump: float, then: float, later: float) -> None:
    before = factory.stamp(then)
    after = factory.stamp(then + later)
    jumped = replace(after, at=factory.stamp(then + later + jump).at)
    assert age_s(before, jumped) == pytest.approx(later, abs=1e-3)
    other = replace(jumped, boot_id="another")
    assert age_s(before, other) == pytest.approx(max(0.0, later + jump), abs=1e-3)


def test_every_kind_is_explained_and_every_refusal_has_a_status() -> None:
    for code, kind in CATALOGUE.items():
        assert kind.code == code
        assert kind.text.endswith(".")
        assert kind.next_step.endswith(".")
    assert CATALOGUE.keys() >= CHAIN_CODES
    refusals = {code for code, kind in CATALOGUE.items() if kind.lasting}
    told_otherwise = {"head.backwards", "head.forked"}
    assert {code for code in refusals - told_otherwise if not code.startswith("input.")} <= set(
        STATUSES
    )


def test_the_page_is_the_generated_one() -> None:
    assert (TOP / "docs" / "findings.md").read_text() == catalogue_markdown()


def record(number: int, **changes: object) -> RecordCard:
    made = RecordCard(
        number=number,
        envelope_sha256=f"{number:064x}",
        station="bench-1",
        job=f"j-{number}",
        verdict=Verdict.SANITIZED,
        simulated=False,
        statement_id="urn:uuid:1",
        statement_sha256="aa" * 32,
        archive_sha256="bb" * 32,
        sequence=number,
        attempt=1,
        end=JobEnd.COMPLETED,
        reasons=(),
        manufacturer="ATA",
        model="M",
        serial=f"S{number}",
        wwn="",
        identity_key=f"{number:064x}",
        media="magnetic",
        size_bytes=1,
        asset_tag="",
        label_serial="",
        lot="L",
        customer="C",
        policy_id="nist-clear/1",
        required="clear",
        claimed="clear",
        technique="host-overwrite",
        bay="A1",
        issued_at=f"2026-11-21T08:00:{number:02}.000000Z",
        received=factory.stamp(number),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


NUMBERS = st.integers(1, 6)


@given(st.lists(NUMBERS, unique=True), st.lists(NUMBERS, unique=True), st.lists(NUMBERS))
def test_every_line_and_every_drive_is_counted_once(
    listed: list[int], seen: list[int], lost: list[int]
) -> None:
    lines = tuple(ManifestLine(number, f"s{number} ", "") for number in listed)
    facts = LotFacts(
        "L",
        tuple(record(number) for number in seen),
        lines,
        frozenset(key_of(f"S{number}") for number in lost),
    )
    account = account_lot(facts)
    states = {row.line.line: row.state for row in account.lines}
    for number in listed:
        expected = LineState.DONE if number in seen else LineState.MISSING
        if expected is LineState.MISSING and number in lost:
            expected = LineState.NOT_DETECTED
        assert states[number] is expected
    surplus = {one.serial for one in account.surplus}
    assert surplus == (
        {f"S{number}" for number in seen if number not in listed} if lines else set()
    )
    assert len(account.drives) == len(seen)
    counts = {one.name: one.number for one in account.counts}
    if lines:
        assert counts["expected"] == sum(counts[state.value] for state in LineState)
        whole = not surplus and LineState.MISSING not in states.values()
        assert account.accounted is whole
    else:
        assert account.accounted is None


def test_the_last_attempt_decides() -> None:
    bad = record(1, serial="S", identity_key="k", verdict=Verdict.NOT_SANITIZED)
    good = record(2, serial="S", identity_key="k")
    for order in ((bad, good), (good, bad)):
        (drive,) = account_lot(LotFacts("L", order)).drives
        assert drive.verdict is Verdict.SANITIZED
        assert [one.number for one in drive.records] == [2, 1]


def test_a_drive_is_known_by_label_and_tag_too() -> None:
    drives = (record(1, label_serial="WD-1"), record(2, asset_tag="AT-2"), record(3))
    lines = (ManifestLine(1, "wd-1", ""), ManifestLine(2, "", "at-2"), ManifestLine(3, "AT-3", ""))
    account = account_lot(LotFacts("L", drives, lines))
    assert [row.state for row in account.lines] == [
        LineState.DONE,
        LineState.DONE,
        LineState.MISSING,
    ]
    assert [one.serial for one in account.surplus] == ["S3"]


def test_a_manifest_is_read_by_the_rules_that_its_station_reads_labels_by() -> None:
    drives = (
        record(1, serial="WD-WX31A76R3KFS", manufacturer="", model="WDC WD10JFCX-68N6GN0"),
        record(2, serial="WD-WX31A76R3KFT", manufacturer="", model="NO SUCH MAKER"),
        record(3, serial="", wwn="naa.5000c500a1b2c3d4"),
    )
    lines = (
        ManifestLine(1, "wx31a76r3kfs", ""),
        ManifestLine(2, "WX31A76R3KFT", ""),
        ManifestLine(3, "5000 C500 A1B2 C3D4", ""),
    )
    account = account_lot(LotFacts("L", drives, lines))
    assert [row.state for row in account.lines] == [
        LineState.DONE,
        LineState.MISSING,
        LineState.DONE,
    ]
    assert [one.serial for one in account.surplus] == ["WD-WX31A76R3KFT"]


def test_a_tag_counts_for_a_line_that_has_no_serial() -> None:
    drives = (record(1, asset_tag="AT-1"), record(2, asset_tag="AT-2"))
    lines = (ManifestLine(1, "OTHER", "AT-1"), ManifestLine(2, "", "at-2"))
    account = account_lot(LotFacts("L", drives, lines))
    assert [row.state for row in account.lines] == [LineState.MISSING, LineState.DONE]
    assert [one.serial for one in account.surplus] == ["S1"]


@given(st.lists(st.lists(NUMBERS, unique=True), max_size=4))
def test_several_manifests_expect_each_drive_once(given: list[list[int]]) -> None:
    lists = [
        [ManifestLine(place, f"SN: X-{n}" if which % 2 else f"x-{n}", "")
         for place, n in enumerate(numbers)]
        for which, numbers in enumerate(given)
    ]  # fmt: skip
    lines = merged(lists)
    assert len(lines) == len({number for numbers in given for number in numbers})
    assert lines[: len(lists[0])] == tuple(lists[0]) if lists else lines == ()


def job(**changes: object) -> JobCard:
    stamp: Stamp = factory.stamp(0)
    made = JobCard(
        "bench-1", "j-1", "i-1", "k", "p/1", "A1", False, 1, stamp, 2, stamp,
        Verdict.SANITIZED, True, None,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


LEDGER = StationLedger(
    "bench-1", 3, {"removed": 1}, 1, 1, {"SANITIZED": 1}, (), frozenset(), frozenset()
)


@pytest.mark.parametrize(
    "changes",
    [
        {"jobs": (job(concluded_sequence=None),)},
        {"jobs": (job(has_record=False),), "closed": frozenset({"i-1"})},
        {"jobs": (job(),)},
        {"open_findings": frozenset({"head.backwards"})},
    ],
)
def test_one_loose_end_and_nothing_is_accounted(changes: dict[str, object]) -> None:
    assert account_station(LEDGER).accounted
    assert not account_station(replace(LEDGER, **changes)).accounted  # type: ignore[arg-type]
    quiet = replace(LEDGER, open_findings=frozenset({"station.silent"}))
    assert account_station(quiet).accounted


@given(st.text())
def test_keys_can_be_stored_and_compared(text: str) -> None:
    key = key_of(text)
    assert key == key_of(f" {text} ") or "\0" in text
    assert "\0" not in key
    assert clean(text).encode() is not None
