"""Every finding there is, and what leads to none."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from unit.domain.strategies import (
    BOOT_B,
    LUNS,
    MIB,
    SAMPLED,
    History,
    Place,
    Shape,
    attachment,
    job,
    put,
    spots,
    stamp,
    variants,
)
from unit.domain.verdict_cases import (
    CASES,
    DEALLOCATED,
    DEFINITE,
    EXCEPTION,
    PLAIN,
    PULLED,
    REBOOTED,
    RESTARTED,
    RESULT,
    SAMPLES,
    STOPPED,
    TWO_PASSES,
    TWO_UNITS,
    UNKNOWN,
    ZEROED,
    ZEROS_AWAY,
    Case,
    at,
    but,
    health,
    shared,
)

from nullbay.domain import verdict as verdict_module
from nullbay.domain.clock import Stamp
from nullbay.domain.drive import Health
from nullbay.domain.method import MediaKind
from nullbay.domain.outcome import JobEvidence, ReadBack, SessionEnd
from nullbay.domain.patterns import ZERO, Keyed
from nullbay.domain.policy import NistR1
from nullbay.domain.ranges import ByteRange
from nullbay.domain.reasons import CATALOGUE, Group
from nullbay.domain.verdict import Conclusion, Verdict, conclude
from support.markdown import table

VERDICTS = {
    DEFINITE: Verdict.NOT_SANITIZED,
    UNKNOWN: Verdict.INDETERMINATE,
    EXCEPTION: Verdict.SANITIZED_WITH_EXCEPTIONS,
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_this_evidence_leads_to_these_findings_and_no_other(case: Case) -> None:
    conclusion = conclude(case.evidence)
    assert {finding.code: finding.effect for finding in conclusion.findings} == case.found
    worst = max(case.found.values(), key=[EXCEPTION, UNKNOWN, DEFINITE].index)
    assert conclusion.verdict is VERDICTS[worst]


def test_cases_have_names_of_their_own() -> None:
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    "code",
    [r.code for r in CATALOGUE.values() if r.group in {Group.VERDICT, Group.EXCEPTION}],
)
def test_every_code_of_a_verdict_has_a_case(code: str) -> None:
    assert any(code in case.found for case in CASES)


def test_every_code_in_the_source_is_in_the_catalogue() -> None:
    """Whatever a finding is made with: the first argument is a code that people can look up."""
    folder = Path(verdict_module.__file__).parent
    codes: set[str] = set()
    for source in folder.glob("verdict*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                makers = {"definite", "unknown", "exception", "Finding", "_unfinished"}
                if node.func.id in makers and isinstance(node.args[0], ast.Constant):
                    codes.add(str(node.args[0].value))
    expected = {r.code for r in CATALOGUE.values() if r.group in {Group.VERDICT, Group.EXCEPTION}}
    assert codes == expected


def test_the_page_for_auditors_names_every_code_once_where_it_belongs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "verdicts.md").read_text()
    for header, group in (("Floor", Group.VERDICT), ("Exception", Group.EXCEPTION)):
        named = [code for row in table(page, header) for code in re.findall(r"`([^`]+)`", row[1])]
        assert sorted(named) == sorted(r.code for r in CATALOGUE.values() if r.group is group)
    assert {row[0].strip("`") for row in table(page, "Verdict")} == set(Verdict)


# --- what is good enough -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "evidence",
    [
        PLAIN,
        TWO_PASSES,
        TWO_UNITS,
        DEALLOCATED,
        ZEROED,
        SAMPLES,
        STOPPED,
        PULLED,
        REBOOTED,
        RESTARTED,
        ZEROS_AWAY,
        job(Shape(media=MediaKind.FLASH)),
        replace(job(Shape(passes=(ZERO,))), pattern_key=None),
        job(Shape(simulated=True)),
        job(Shape(history=History.CRASHED)),
        job(Shape(history=History.PULLED_TWICE)),
        # The drive tells, and has retired nothing.
        health(Health(0), Health(0)),
        health(Health(), Health(0)),
        # Pending sectors before the work are cured by writing them.
        health(Health(pending_sectors=3), Health(pending_sectors=0)),
        # Exactly on the line.
        health(Health(), Health(percentage_used=100)),
        # Read in full although samples would have done.
        but(PLAIN, (("plan", "steps", 0, "verification"), NistR1())),
        but(PLAIN, ((*RESULT, "reads"), "direct+fua")),
        # Nobody asks in which order units, outcomes and ranges are listed.
        but(TWO_UNITS, (("observed_end", "units"), LUNS[::-1])),
        replace(TWO_UNITS, outcomes=TWO_UNITS.outcomes[::-1]),
        but(
            PLAIN,
            (
                ("outcomes", 0, "flushed"),
                (ByteRange(512, MIB), ByteRange(0, 1024), ByteRange(0, 512)),
            ),
        ),
        # Something else was read back, and everything written again.
        but(RESTARTED, (("sessions", 1, "read_back"), ReadBack(64, 1, last_flushed_included=True))),
        # Written before a power cut, flushed, verified in full after it.
        but(REBOOTED, *at(("outcomes", 0, "last_flush"), 1800, "5a0d6d5e-boot-a")),
        # The final state, fully read after the drive came back, tells of all of it.
        but(
            job(Shape(history=History.PULLED, final=ZERO)),
            *at(("outcomes", 0, "started"), 1100),
            *at(("outcomes", 0, "last_flush"), 1200),
            *at(("outcomes", 0, "verification", "drawn"), 1300),
            *at(("outcomes", 0, "verification", "ended"), 1400),
            *at(("outcomes", 0, "ended"), 1500),
        ),
    ],
)
def test_good_is_good(evidence: JobEvidence) -> None:
    assert conclude(evidence) == Conclusion(Verdict.SANITIZED, ())


@pytest.mark.parametrize(
    "evidence",
    [
        job(Shape(history=History.PULLED, serial=b"")),
        job(Shape(history=History.PULLED, serial=b"", passes=(ZERO, Keyed()))),
        job(Shape(history=History.PULLED_AND_RESTARTED, serial=b"")),
        shared(History.PULLED_TWICE),
    ],
)
def test_a_weak_name_is_enough_with_the_stream_read_back_or_started_again(
    evidence: JobEvidence,
) -> None:
    assert conclude(evidence).verdict is Verdict.SANITIZED_WITH_EXCEPTIONS


@pytest.mark.parametrize(
    ("name", "details"),
    [
        ("retired before and meanwhile", {"1 sectors", "2 sectors"}),
        ("a hole", {"step 1: 512 bytes"}),
        ("not all read", {"step 1: 1048064 of 1048576 bytes"}),
        ("unwritable sectors", {"step 1: 2 sectors"}),
        ("mismatches counted", {"step 1: 1 sectors"}),
        ("read errors cured, less than none elsewhere", {"2 sectors"}),
        ("purge by overwrite", {"host-overwrite on magnetic for purge"}),
        ("boot partitions", {"NVMe boot partitions"}),
    ],
)
def test_details_give_numbers(name: str, details: set[str]) -> None:
    case = next(case for case in CASES if case.name == name)
    assert {finding.detail for finding in conclude(case.evidence).findings} == details


@pytest.mark.parametrize(
    ("verdict", "sanitized", "code"),
    [
        (Verdict.SANITIZED, True, 0),
        (Verdict.SANITIZED_WITH_EXCEPTIONS, True, 10),
        (Verdict.NOT_SANITIZED, False, 20),
        (Verdict.INDETERMINATE, False, 30),
    ],
)
def test_the_four_words(verdict: Verdict, sanitized: bool, code: int) -> None:
    assert (verdict.is_sanitized, verdict.exit_code) == (sanitized, code)
    assert verdict.value == verdict.name


# --- away, or not ------------------------------------------------------------------------------

SAMPLED_AND_STOPPED = job(Shape(units=(SAMPLED,), profile=NistR1(), history=History.STOPPED))


def in_both(path: Place, value: Any) -> list[tuple[Place, Any]]:
    """The same change to the attachment of both sessions, at the start and at the end."""
    return [
        (("sessions", number, end, *path), value)
        for number in (0, 1)
        for end in ("attachment", "attachment_end")
    ]


@pytest.mark.parametrize(
    "changes",
    [
        # It stayed in its place, but nobody held it between the sessions.
        [],
        # A place that says nothing: the drive may have been anywhere.
        in_both(("nodes", 0, "diskseq"), 0),
        in_both(("nodes",), ()),
        in_both(
            ("nodes",),
            (attachment().nodes[0], replace(attachment().nodes[0], unit_id="lun:1", diskseq=0)),
        ),
        in_both(("boot_id",), "unknown"),
        in_both(("boot_id",), ""),
        # The same place, but it was seen leaving, or the machine was off.
        [
            (("sessions", 0, "end"), SessionEnd.DRIVE_GONE),
        ],
        [
            (("sessions", 1, "attachment"), attachment(diskseq=10)),
            (("sessions", 1, "attachment_end"), attachment(diskseq=10)),
        ],
    ],
)
def test_a_drive_that_may_have_been_away_is_not_sanitized_by_samples(
    changes: list[tuple[Place, Any]],
) -> None:
    conclusion = conclude(but(SAMPLED_AND_STOPPED, *changes))
    assert [finding.code for finding in conclusion.findings] == ["absence.not-fully-verified"]


def test_one_other_place_among_many_is_enough() -> None:
    first, last = SAMPLED_AND_STOPPED.sessions
    elsewhere = attachment(diskseq=3)
    moved = replace(first, attachment=elsewhere, attachment_end=elsewhere)
    between = replace(last, started=stamp(1910), ended=stamp(1950), end=SessionEnd.STOPPED)
    evidence = replace(SAMPLED_AND_STOPPED, sessions=(moved, between, last))
    assert [found.code for found in conclude(evidence).findings] == ["absence.not-fully-verified"]


def test_a_clock_that_stands_still_proves_no_disorder() -> None:
    """Microseconds are coarse; on a virtual clock a whole job may take none."""
    still = [
        ((*spot.path, "boottime_us"), 1000)
        for spot in spots(TWO_UNITS, JobEvidence)
        if isinstance(spot.value, Stamp)
    ]
    assert conclude(but(TWO_UNITS, *still)).verdict is Verdict.SANITIZED


def test_a_reboot_between_sessions_is_an_absence_whatever_the_attachment_says() -> None:
    moved: list[tuple[Place, Any]] = []
    for spot in spots(SAMPLED_AND_STOPPED, JobEvidence):
        later = isinstance(spot.value, Stamp) and spot.value.boottime_us >= 2000
        if later and spot.path != ("sessions", 0, "ended"):
            moved.append(((*spot.path, "boot_id"), BOOT_B))
    conclusion = conclude(but(SAMPLED_AND_STOPPED, *moved))
    assert [finding.code for finding in conclusion.findings] == ["absence.not-fully-verified"]


# --- what no verdict relies upon ---------------------------------------------------------------


def names(text: str) -> set[str]:
    return set(text.split())


ONLY_TOLD = names(
    """
    exchanges exchanges_sha256 job_id schema identity.identify_sha256 identity.identify_source
    pattern_key.commitment_sha256 pattern_key.drawn_by pattern_key.in_evidence
    plan.limitations plan.limitations[] plan.policy_id plan.policy_sha256 plan.schema
    plan.data_category plan.destination
    plan.scheme_id plan.simulated plan.transport plan.two_person_approval
    plan.units[].physical_sector_bytes plan.steps[].estimate_s plan.hidden_areas[].source
    observed_start.firmware observed_start.firmware.raw observed_start.media_source
    observed_start.removable observed_start.transport
    observed_start.units[].physical_sector_bytes observed_start.hidden_areas[].source
    observed_start.health.power_on_hours observed_start.health.temperature_celsius
    observed_start.at.at observed_end.firmware observed_end.firmware.raw
    observed_end.media_source observed_end.removable observed_end.transport
    observed_end.units[].physical_sector_bytes observed_end.hidden_areas[].source
    observed_end.health.power_on_hours observed_end.health.temperature_celsius
    observed_end.at.at outcomes[].started.at outcomes[].ended.at outcomes[].last_flush.at
    outcomes[].verification.drawn.at outcomes[].verification.ended.at
    outcomes[].written_after_retry sessions[].started.at sessions[].ended.at
    """
)
BY_DEGREE = names(
    """
    outcomes[].started.boottime_us outcomes[].ended.boottime_us
    outcomes[].last_flush.boottime_us outcomes[].verification.drawn.boottime_us
    outcomes[].verification.ended.boottime_us outcomes[].verification.seed outcomes[].flushed
    observed_start.at observed_start.at.boottime_us observed_start.at.boot_id
    observed_end.at.boottime_us sessions[].started sessions[].started.boottime_us
    sessions[].ended sessions[].ended.boottime_us observed_start.health.pending_sectors
    observed_start.health.media_errors observed_start.health.percentage_used
    observed_end.health observed_end.health.reallocated_sectors
    observed_end.health.pending_sectors observed_end.health.media_errors
    observed_end.health.percentage_used plan.health.media_errors_max
    plan.health.pending_sectors_max plan.health.percentage_used_max
    plan.health.reallocated_sectors_max plan.steps[].pattern plan.steps[].verification
    plan.hidden_areas plan.hidden_areas[].state observed_start.hidden_areas
    observed_start.hidden_areas[].state observed_end.hidden_areas
    observed_end.hidden_areas[].state observed_end.units[].read_only
    """
)


def test_every_part_of_the_evidence_counts_but_those_listed() -> None:
    """Change any one place of a good job: the verdict is another, or the place stands above.

    A field that is added later and changes nothing has to be put on the list, knowingly.
    """
    unmoved: set[str] = set()
    for spot in spots(PLAIN, JobEvidence):
        for other in variants(spot.hint, spot.value):
            try:
                evidence = put(PLAIN, spot.path, other)
            except ValueError:
                continue
            if evidence != PLAIN and conclude(evidence).verdict is Verdict.SANITIZED:
                unmoved.add(spot.name)
    budgets = {name for name in unmoved if name.startswith("plan.budgets")}
    assert budgets
    assert unmoved - budgets == ONLY_TOLD | BY_DEGREE
