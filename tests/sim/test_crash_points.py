"""A process dies at every journal write, transaction and message: the verdict stays the right one.

Each moment of a run is played once: the process dies there, everything in memory is gone, a new one
starts on the same state directory, and the same command is repeated until its result is told.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from nullbay.domain.verdict import Verdict
from nullbay.lab.description import CacheSpec, DeallocateKind, LbaSpan, LossKind
from support.crashes import (
    DEALLOCATED,
    ZERO_AFTERWARDS,
    Apart,
    Deaths,
    Scenario,
    drive,
    play,
    play_apart,
)
from support.rack import shipped

CLEAN = Scenario("clean")
NAMELESS = Scenario("nameless", drive(serial=""), Verdict.SANITIZED_WITH_EXCEPTIONS)
UNWRITABLE = Scenario("unwritable", drive(unwritable=(LbaSpan(700, 701),)), Verdict.NOT_SANITIZED)
IGNORED = Scenario("ignored", drive(ignored_writes=(LbaSpan(600, 650),)), Verdict.NOT_SANITIZED)
DOD = Scenario("three-passes", drive(sectors=512), policy=shipped("dod-5220-22-m/1"))
ZERO = Scenario("zero", drive(sectors=768), policy=ZERO_AFTERWARDS)
UNMAPPED = Scenario(
    "unmapped", drive(sectors=768, deallocate=DeallocateKind.ZEROS), policy=DEALLOCATED
)
LOSES_SOME = Scenario("loses-some", drive(cache=CacheSpec(256 * 1024, LossKind.SOME)))

WORK = ("send execute", "renamed result")
"""Where scenarios differ: before and after, a job's life is the same for every drive."""
SAME_AS_BEFORE = ("append ", "write ", "sent ", "begin", "commit")
"""Moments at which no more is on disk than at the one before, nor has anybody been told more."""


def survive(scenario: Scenario, deaths: Iterable[Deaths]) -> int:
    """Play each; how many. A failure tells how to play it alone."""
    count = 0
    only = os.environ.get("NULLBAY_SIM_MOMENT")
    for one in deaths:
        name = ",".join(str(number) for number in (one.first, one.second, one.drive_process))
        if only is not None and name != only:
            continue
        count += 1
        try:
            play(scenario, one)
        except BaseException as error:
            test = os.environ["PYTEST_CURRENT_TEST"].split()[0]
            error.add_note(f"{scenario.name}: {one}")
            error.add_note(f"replay: NULLBAY_SIM_MOMENT={name} .venv/bin/python -m pytest '{test}'")
            raise
    return count


def of_the_work(moments: list[str]) -> Iterable[int]:
    first, last = (moments.index(name) for name in WORK)
    return (n for n in range(first, last + 1) if not moments[n].startswith(SAME_AS_BEFORE))


@pytest.mark.parametrize("replug", [False, True], ids=["stays", "pulled"])
def test_at_every_moment_of_a_job(replug: bool) -> None:
    moments = play(CLEAN).moments
    assert len(moments) > 100
    assert survive(CLEAN, (Deaths(n, replug=replug) for n in range(len(moments))))


@pytest.mark.parametrize("replug", [False, True], ids=["stays", "pulled"])
def test_at_every_moment_with_a_drive_process_that_outlives_its_bench(replug: bool) -> None:
    """It ends by itself, soon, and lets go of the drive."""
    moments = of_the_work(play(CLEAN).moments)
    how = Deaths(replug=replug, with_drive_process=False)
    assert survive(CLEAN, (replace(how, first=n) for n in moments))


@pytest.mark.parametrize(
    "scenario", [UNWRITABLE, IGNORED, DOD, ZERO, UNMAPPED], ids=lambda s: s.name
)
def test_at_every_moment_of_the_work_while_the_drive_stays(scenario: Scenario) -> None:
    moments = of_the_work(play(scenario).moments)
    assert survive(scenario, (Deaths(n) for n in moments))


@pytest.mark.parametrize(
    "scenario", [NAMELESS, LOSES_SOME, IGNORED, DOD, ZERO, UNMAPPED], ids=lambda s: s.name
)
def test_at_every_moment_of_the_work_with_the_drive_pulled_and_its_cache_lost(
    scenario: Scenario,
) -> None:
    moments = of_the_work(play(scenario).moments)
    assert survive(scenario, (Deaths(n, replug=True) for n in moments))


@pytest.mark.parametrize("scenario", [LOSES_SOME, NAMELESS], ids=lambda s: s.name)
def test_the_mains_fail_at_every_moment_of_the_work(scenario: Scenario) -> None:
    moments = of_the_work(play(scenario).moments)
    assert survive(scenario, (Deaths(n, reboot=True) for n in moments))


@pytest.mark.parametrize("scenario", [CLEAN, NAMELESS, UNMAPPED], ids=lambda s: s.name)
def test_a_drive_process_that_dies_alone_is_started_again(scenario: Scenario) -> None:
    moments = play(scenario).drive_moments
    assert survive(scenario, (Deaths(drive_process=n) for n in range(len(moments))))


@pytest.mark.parametrize("scenario", [CLEAN, NAMELESS, UNWRITABLE, DOD], ids=lambda s: s.name)
def test_dying_again_while_recovering(scenario: Scenario) -> None:
    """Pairs of moments drawn with a fixed seed; the drive stays, or is pulled after each death."""
    draw = random.Random(f"twice {scenario.name}")
    count = len(play(scenario).moments)
    deaths = [
        Deaths(
            draw.randrange(count),
            draw.randrange(count),
            with_drive_process=draw.random() < 0.5,
            replug=draw.random() < 0.5,
        )
        for _ in range(40)
    ]
    assert survive(scenario, deaths)


# --- one without the other ---------------------------------------------------------------------


def survive_apart(scenario: Scenario, deaths: Iterable[Apart]) -> list[int]:
    """Play each; how many sessions each took."""
    sessions = []
    for one in deaths:
        try:
            sessions.append(play_apart(scenario, one).sessions)
        except BaseException as error:
            error.add_note(f"{scenario.name}: {one}")
            raise
    return sessions


@pytest.mark.parametrize("later_s", [0.0, 3600.0], ids=["at-once", "an-hour-later"])
def test_the_agent_alone_dies_at_every_moment_and_the_bench_works_on(later_s: float) -> None:
    """Wherever it dies, the drive is worked on without a gap: there is one session."""
    moments = play_apart(CLEAN).agent_moments
    assert {"agent send create", "agent sent work", "agent received view"} <= set(moments)
    some = [
        n for n, name in enumerate(moments) if not (later_s and name.startswith(SAME_AS_BEFORE))
    ]
    sessions = survive_apart(CLEAN, (Apart(agent=n, later_s=later_s) for n in some))
    assert set(sessions) == {1}


@pytest.mark.parametrize(
    ("scenario", "with_drive_process"),
    [(CLEAN, True), (CLEAN, False), (NAMELESS, True)],
    ids=["clean", "clean-outlived-by-its-drive-process", "nameless"],
)
def test_the_bench_alone_dies_at_every_moment_and_the_agent_takes_the_drive_again(
    scenario: Scenario, with_drive_process: bool
) -> None:
    moments = play_apart(scenario).bench_moments
    how = Apart(with_drive_process=with_drive_process)
    some = (n for n, name in enumerate(moments) if not name.startswith(SAME_AS_BEFORE))
    assert survive_apart(scenario, (replace(how, bench=n) for n in some))


@pytest.mark.parametrize("scenario", [UNWRITABLE, DOD], ids=lambda s: s.name)
def test_either_of_them_dies_twice(scenario: Scenario) -> None:
    draw = random.Random(f"apart {scenario.name}")
    clean = play_apart(scenario)
    agents, benches = len(clean.agent_moments), len(clean.bench_moments)
    deaths = [Apart(agent=draw.randrange(agents), second=draw.randrange(agents)) for _ in range(20)]
    deaths += [
        Apart(bench=draw.randrange(benches), second=draw.randrange(benches)) for _ in range(20)
    ]
    assert survive_apart(scenario, deaths)
