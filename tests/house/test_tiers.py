"""The test runner tells the truth: what did not run is no success."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import tiers
from tiers import Outcome, Tier

PASSING = "def test_one() -> None:\n    assert True\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository for the runner, outside CI unless a test says so."""
    (tmp_path / "tests" / "some").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setattr(tiers, "TOP", tmp_path)
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


def ran(tree: Path, code: str | None, ceiling_s: int = 60) -> Outcome:
    if code is not None:
        (tree / "tests" / "some" / "test_some.py").write_text(code)
    return tiers.run(Tier("some", ceiling_s=ceiling_s))


def test_a_tier_that_passes_is_counted(tree: Path) -> None:
    outcome = ran(tree, PASSING)
    assert outcome.ok
    assert outcome.counts == {"passed": 1, "failed": 0, "skipped": 0}


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (None, "no test ran"),
        ("import pytest\npytestmark = pytest.mark.skip('no')\n" + PASSING, "no test ran"),
        (PASSING + "def test_two() -> None:\n    assert False\n", "FAILED"),
        ("import nowhere_at_all\n", "FAILED"),
        ("import os\nos._exit(0)\n", "no report"),
    ],
)
def test_a_tier_that_does_not_pass_fails(tree: Path, code: str | None, result: str) -> None:
    outcome = ran(tree, code)
    assert not outcome.ok
    assert result in outcome.result


def test_a_missing_tier_fails(tree: Path) -> None:
    assert not tiers.run(Tier("other")).ok
    assert tree.exists()


def test_a_tier_over_its_ceiling_ends_with_all_it_started(tree: Path) -> None:
    code = (
        "import pathlib, subprocess, time\n"
        "def test_stuck() -> None:\n"
        "    child = subprocess.Popen(['sleep', '1000'])\n"
        f"    pathlib.Path({str(tree)!r}, 'pid').write_text(str(child.pid))\n"
        "    time.sleep(1000)\n"
    )
    outcome = ran(tree, code, ceiling_s=15)
    assert not outcome.ok
    assert "ceiling" in outcome.result
    child = Path("/proc", (tree / "pid").read_text(), "stat")
    deadline = time.monotonic() + 10
    while child.exists() and child.read_text().split(")")[-1].split()[0] not in "ZX":
        assert time.monotonic() < deadline, "the test's child is still running"
        time.sleep(0.05)


NEEDY = Tier("some", {"no-such-command-here": "no-such-package"})


@pytest.fixture
def by_nobody(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runner without root: it may not install what is missing."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return tree


@pytest.mark.usefixtures("by_nobody")
def test_what_is_missing_skips_the_tier_and_names_the_command() -> None:
    outcome = tiers.attempt(NEEDY, {})
    assert outcome.ok
    assert outcome.result.startswith("skipped: needs no-such-")


@pytest.mark.usefixtures("by_nobody")
def test_block_devices_need_root() -> None:
    outcome = tiers.attempt(Tier("some", loops=True), {})
    assert outcome.result == 'skipped: needs root; enable it: sudo make test TIERS="some"'


@pytest.mark.usefixtures("by_nobody")
def test_in_ci_a_skipped_tier_fails_unless_it_is_excused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert not tiers.attempt(NEEDY, {}).ok
    assert tiers.attempt(NEEDY, {"some": "no such thing here"}).ok


def test_excuses_are_read_from_the_page_and_need_a_reason(tree: Path) -> None:
    page = tree / "docs" / "testing.md"
    head = "| Excused tier | Reason |\n|---|---|\n"
    page.write_text(head)
    assert tiers.excused() == {}
    page.write_text(head + "| `integration` | no loop devices |\n")
    assert tiers.excused() == {"integration": "no loop devices"}
    for row in ("| `integration` | |\n", "| `everything` | because |\n", "| `unit` |\n"):
        page.write_text(head + row)
        with pytest.raises(SystemExit):
            tiers.excused()


def test_the_sum_is_only_told_when_every_count_is_known() -> None:
    counted = Outcome("unit", "passed", ok=True, counts={"passed": 2, "failed": 0, "skipped": 1})
    skipped = Outcome("integration", "skipped: needs root", ok=True)
    killed = Outcome("sim", "FAILED: over its ceiling", ok=False)
    assert tiers.summary([counted, skipped]).endswith("\n2 passed, 0 failed, 1 skipped")
    assert "2 passed" not in tiers.summary([counted, killed])
