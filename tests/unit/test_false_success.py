"""The false-success catalogue: what others called erased, and what says so here.

Fifteen cases seen in other programs; docs/false-success.md tells of each what stands here, and what
waits for firmware techniques. Numbers in the names are those of the page.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from nullbay.certs import archive
from nullbay.domain.drive import Bay
from nullbay.domain.ids import BayId, PolicyId
from nullbay.domain.method import MediaKind, Method, Technique, Transport
from nullbay.domain.outcome import JobEnd, JobEvidence, OutcomeKind, SectorList
from nullbay.domain.plan import Held, SanitizationPlan
from nullbay.domain.policy import FinalState, Policy
from nullbay.domain.ports import UseKind
from nullbay.domain.verdict import Verdict, conclude
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.lab.clock import run as run_virtually
from nullbay.lab.description import (
    CacheSpec,
    DriveDescription,
    EventKind,
    EventSpec,
    FlushKind,
    HealthSpec,
    LbaSpan,
    OtherDrive,
)
from nullbay.lab.olddata import OldData
from nullbay.wipers.bays import bay_of
from nullbay.wipers.planner import plan
from nullbay.wipers.service import WrongConfirmationError
from support.drives import drive, offers
from support.evidence_factory import good_evidence
from support.markdown import table
from support.rack import Rack, request_for, shipped

PAGE = Path(__file__).resolve().parents[2] / "docs" / "false-success.md"
KIB = 1024
SECTORS = 4096
SIZE = SECTORS * 512
OLD = OldData(seed=5)
FIRMWARE = [one for one in Technique if one is not Technique.HOST_OVERWRITE]


@dataclass(frozen=True)
class Seen:
    """What came of a wipe: its verdict (None: no record), all codes, and the medium afterwards."""

    verdict: Verdict | None
    codes: set[str]
    image: bytes
    folder: Path

    @property
    def old_bytes_left(self) -> bool:
        return OLD.signature in self.image


def wipe(
    folder: Path,
    policy: Policy | None = None,
    use: UseKind | None = None,
    **faults: Any,
) -> Seen:
    """One drive made of software, full of old data, wiped by the station's own code."""
    description = DriveDescription(sectors=SECTORS, model="LAB", serial="LAB-1", **faults)

    async def main(clock: VirtualClock) -> Seen:
        path = hands.make_file_drive(folder / "drive.json", description, old_data=OLD)
        rack = Rack(folder, clock)
        if use is not None:
            rack.facts.use(hands.look(path, clock), use, "in use")
        process = rack.process()
        request = request_for(path, clock, policy or shipped("nist-clear-full"))
        result = await process.wipe(request)
        await process.end()
        codes = {one.code for one in result.refusals} | ({result.open_code} - {""})
        verdict = None
        if result.recorded is not None:
            verdict = result.recorded.conclusion.verdict
            codes |= {one.code for one in result.recorded.conclusion.findings}
        return Seen(verdict, codes, path.with_suffix(".img").read_bytes(), folder)

    return run_virtually(main)


def verdict_on(evidence: JobEvidence) -> tuple[Verdict, set[str]]:
    found = conclude(evidence)
    return found.verdict, {one.code for one in found.findings}


def with_technique(technique: Technique, required: Method, media: MediaKind) -> JobEvidence:
    """Evidence without a flaw, but for the technique it names."""
    good = good_evidence()
    assert good.observed_end is not None
    return replace(
        good,
        plan=replace(good.plan, technique=technique, required_method=required, media=media),
        observed_start=replace(good.observed_start, media=media),
        observed_end=replace(good.observed_end, media=media),
    )


def test_a_good_drive_is_sanitized(tmp_path: Path) -> None:
    """The others mean something only because this one passes."""
    seen = wipe(tmp_path)
    assert (seen.verdict, seen.codes) == (Verdict.SANITIZED, set())
    assert not seen.old_bytes_left


# --- 1 to 4: an erase that did nothing, a status nobody looked at, a cache that answered --------


def test_01_a_drive_that_acknowledges_and_does_nothing_is_found_by_reading(tmp_path: Path) -> None:
    seen = wipe(tmp_path, ignored_writes=(LbaSpan(0, SECTORS - 1),))
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert "verification.mismatch" in seen.codes
    assert seen.old_bytes_left, "the drive did nothing at all"


@pytest.mark.parametrize("lba", [0, 2047, SECTORS - 1])
def test_01_one_sector_that_ignores_writes_is_enough(tmp_path: Path, lba: int) -> None:
    seen = wipe(tmp_path, ignored_writes=(LbaSpan(lba, lba),))
    assert (seen.verdict, seen.old_bytes_left) == (Verdict.NOT_SANITIZED, True)


def test_01_an_error_of_the_drive_is_never_passed_over(tmp_path: Path) -> None:
    seen = wipe(tmp_path, unwritable=(LbaSpan(77, 77),))
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert "overwrite.unwritable" in seen.codes


def test_02_waiting_for_the_end_looks_at_how_it_ended(tmp_path: Path) -> None:
    """Every write was fine, and the command that waits for all of them fails."""
    seen = wipe(tmp_path, flush=FlushKind.FAILS)
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert {"step.failed", "overwrite.incomplete"} <= seen.codes


def test_03_a_mounted_drive_is_not_touched(tmp_path: Path) -> None:
    for number, (use, code) in enumerate(
        {
            UseKind.MOUNT: "guard.mounted",
            UseKind.SWAP: "guard.swap",
            UseKind.HOLDER: "guard.held",
            UseKind.SYSTEM: "guard.system-drive",
        }.items()
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        seen = wipe(folder, use=use)
        assert (seen.verdict, seen.codes) == (None, {code})
        assert all(OLD.sector(lba, 512) in seen.image for lba in (0, 1000, SECTORS - 1))


def test_04_reads_that_a_cache_of_the_host_may_have_answered_prove_nothing() -> None:
    good = good_evidence()
    result = good.outcomes[-1].verification
    assert result is not None
    for reads in ("buffered", "", "simulated"):
        cached = replace(good.outcomes[-1], verification=replace(result, reads=reads))
        verdict, codes = verdict_on(replace(good, outcomes=(cached,)))
        assert (verdict, codes) == (Verdict.INDETERMINATE, {"verification.cached"})


def test_04_a_drive_that_lost_its_cache_without_a_word_is_found_by_reading(tmp_path: Path) -> None:
    lost = EventSpec(what=EventKind.POWER_CUT, after_written_bytes=SIZE // 2 + 64 * KIB)
    seen = wipe(tmp_path, cache=CacheSpec(SIZE), event=(lost,))
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert "verification.mismatch" in seen.codes
    assert seen.old_bytes_left


# --- 5 to 8: success by a word that is none -----------------------------------------------------


@pytest.mark.parametrize("media", MediaKind)
def test_05_a_tcg_revert_is_no_purge_and_alone_proves_nothing(media: MediaKind) -> None:
    verdict, codes = verdict_on(with_technique(Technique.TCG_REVERT, Method.PURGE, media))
    assert verdict is Verdict.NOT_SANITIZED
    assert "method.not-reached" in codes
    verdict, codes = verdict_on(with_technique(Technique.TCG_REVERT, Method.CLEAR, media))
    assert (verdict, codes) == (Verdict.INDETERMINATE, {"technique.no-evidence-rule"})


def test_06_a_command_without_an_answer_did_not_succeed(tmp_path: Path) -> None:
    """The drive leaves in the midst of a write: no status, no errno, fewer bytes."""
    gone = EventSpec(what=EventKind.GONE, after_written_bytes=SIZE // 2)
    seen = wipe(tmp_path, event=(gone,))
    assert (seen.verdict, seen.codes) == (None, {"drive.gone"})
    assert not list((tmp_path / "out").glob("*")), "an open job has no record"
    assert seen.old_bytes_left


def test_06_a_drive_that_became_smaller_was_not_written_to_its_end(tmp_path: Path) -> None:
    shrinks = EventSpec(
        what=EventKind.CAPACITY_SHRINKS, after_written_bytes=SIZE // 2, sectors=SECTORS // 2
    )
    seen = wipe(tmp_path, event=(shrinks,))
    assert seen.verdict is not Verdict.SANITIZED
    assert seen.verdict is not Verdict.SANITIZED_WITH_EXCEPTIONS
    assert seen.old_bytes_left


@pytest.mark.parametrize("kind", [one for one in OutcomeKind if one is not OutcomeKind.SUCCEEDED])
def test_07_no_end_of_a_step_but_success_is_success(kind: OutcomeKind) -> None:
    good = good_evidence()
    for codes in ((), ("drive.error",)):
        other = replace(good.outcomes[-1], kind=kind, codes=codes)
        assert not verdict_on(replace(good, outcomes=(other,)))[0].is_sanitized


@pytest.mark.parametrize("end", [one for one in JobEnd if one is not JobEnd.COMPLETED])
def test_07_no_end_of_a_job_but_completion_is_success(end: JobEnd) -> None:
    assert not verdict_on(replace(good_evidence(), end=end))[0].is_sanitized


def test_07_success_with_a_reason_why_not_is_none() -> None:
    good = good_evidence()
    both = replace(good.outcomes[-1], codes=("drive.error",))
    assert verdict_on(replace(good, outcomes=(both,)))[0] is Verdict.INDETERMINATE


@pytest.mark.parametrize("technique", FIRMWARE)
@pytest.mark.parametrize("media", [MediaKind.MAGNETIC, MediaKind.FLASH])
def test_08_success_of_firmware_that_this_build_cannot_prove_is_none(
    technique: Technique, media: MediaKind
) -> None:
    """An idle drive says that its last sanitize succeeded; perhaps it was last year's."""
    for required in (Method.CLEAR, Method.PURGE):
        verdict, codes = verdict_on(with_technique(technique, required, media))
        assert not verdict.is_sanitized
        assert "technique.no-evidence-rule" in codes


# --- 9 to 12: another technique than was asked for, or none -------------------------------------


def test_09_a_purge_that_cannot_be_done_is_not_replaced_by_less(tmp_path: Path) -> None:
    """Not even where the policy names another one to follow it: that is a plan of its own."""
    for number, fallback in enumerate((None, PolicyId("nist-clear/1"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        policy = replace(shipped("nist-purge"), fallback=fallback)
        seen = wipe(folder, policy)
        assert seen.verdict is None
        assert "plan.held-for-destruction" in seen.codes
        assert all(OLD.sector(lba, 512) in seen.image for lba in (0, SECTORS - 1)), "untouched"


@pytest.mark.parametrize("media", MediaKind)
def test_10_a_weaker_erase_that_worked_is_not_the_one_required(media: MediaKind) -> None:
    evidence = with_technique(Technique.HOST_OVERWRITE, Method.PURGE, media)
    verdict, codes = verdict_on(evidence)
    assert (verdict, codes) == (Verdict.NOT_SANITIZED, {"method.not-reached"})


def test_11_what_was_not_chosen_is_named_with_its_reason() -> None:
    policy = replace(shipped("nist-clear"), techniques=(*FIRMWARE, Technique.HOST_OVERWRITE))
    made = plan(drive(transport=Transport.NVME, media=MediaKind.FLASH), policy)
    assert isinstance(made, SanitizationPlan)
    assert [one.technique for one in made.not_chosen] == FIRMWARE
    assert all(one.code and one.detail for one in made.not_chosen)
    assert made.technique is Technique.HOST_OVERWRITE
    assert verdict_on(replace(good_evidence(), plan=made))[0] is not Verdict.SANITIZED


@pytest.mark.parametrize("technique", FIRMWARE)
def test_12_a_technique_that_is_not_built_is_never_planned(technique: Technique) -> None:
    """Even if drive and policy both want it."""
    policy = replace(shipped("nist-purge"), method=Method.CLEAR, techniques=(technique,))
    for transport in Transport:
        made = plan(drive(transport=transport, capabilities=offers(technique)), policy)
        assert isinstance(made, Held)
        assert made.not_chosen[0].code == "technique.not-available"


def test_12_a_plan_without_a_step_reaches_nothing() -> None:
    good = good_evidence()
    verdict, codes = verdict_on(replace(good, plan=replace(good.plan, steps=()), outcomes=()))
    assert verdict is Verdict.NOT_SANITIZED
    assert {"plan.empty", "unit.not-covered"} <= codes


# --- 13: not what was claimed -------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is the witness")
def test_13_the_random_pattern_on_the_drive_is_the_one_that_was_claimed(tmp_path: Path) -> None:
    """Every byte of the medium, made again by openssl from the key in the evidence archive."""
    seen = wipe(tmp_path)
    (packed,) = (tmp_path / "out").glob("*.evidence.tar.zst")
    job_key = archive.read(packed)["pattern-key.bin"]
    derive = ["openssl", "kdf", "-keylen", "32", "-kdfopt", "digest:SHA256", "-binary"]
    derive += ["-kdfopt", f"hexkey:{job_key.hex()}", "-kdfopt", "info:nullbay/overwrite/1/1"]
    key = subprocess.run([*derive, "HKDF"], capture_output=True, check=True).stdout
    cipher = ["openssl", "enc", "-aes-256-ctr", "-K", key.hex(), "-iv", "0" * 32]
    made = subprocess.run(cipher, input=bytes(SIZE), capture_output=True, check=True).stdout
    assert seen.image == made


def test_13_a_wipe_that_never_started_is_no_success() -> None:
    good = good_evidence()
    verdict, codes = verdict_on(replace(good, outcomes=(), sessions=()))
    assert verdict is Verdict.NOT_SANITIZED
    assert {"step.missing", "identity.not-confirmed"} <= codes
    nothing = replace(good.outcomes[-1], flushed=(), last_flush=None)
    verdict, codes = verdict_on(replace(good, outcomes=(nothing,)))
    assert verdict is Verdict.NOT_SANITIZED
    assert "overwrite.incomplete" in codes


def test_13_a_drive_that_stopped_answering_is_not_erased() -> None:
    good = good_evidence()
    verdict, codes = verdict_on(replace(good, observed_end=None))
    assert (verdict, codes) == (Verdict.INDETERMINATE, {"drive.not-observed-afterwards"})
    failed = replace(good.outcomes[-1], kind=OutcomeKind.FAILED, codes=("write.stalled",))
    assert verdict_on(replace(good, outcomes=(failed,)))[0] is Verdict.NOT_SANITIZED


def test_13_what_was_not_read_is_not_verified() -> None:
    good = good_evidence()
    result = good.outcomes[-1].verification
    assert result is not None
    half = replace(result, read_bytes=result.planned_bytes - 512)
    for other in (None, half, replace(result, unreadable=SectorList(1, (8,)))):
        outcome = replace(good.outcomes[-1], verification=other)
        assert not verdict_on(replace(good, outcomes=(outcome,)))[0].is_sanitized


# --- 14 and 15: another drive, or a part of it --------------------------------------------------


def test_14_the_neighbour_is_not_taken_for_the_bay() -> None:
    slot = "/sys/devices/pci0000:00/host0/port-0:{}/end_device"
    bays = [Bay(BayId(f"1-{n}"), 1, n, slot.format(n)) for n in range(1, 13)]
    for number in range(1, 13):
        assert bay_of(drive(device_path=slot.format(number)), bays) == f"1-{number}"
    for number in (0, 13, 111):
        assert bay_of(drive(device_path=slot.format(number)), bays) is None


def test_14_the_wrong_drive_is_not_wiped_by_mistake(tmp_path: Path) -> None:
    """What is typed is compared with the drive that is there now, before it is opened."""

    async def main(clock: VirtualClock) -> None:
        paths = []
        for number in (1, 2):
            description = DriveDescription(sectors=64, model="LAB", serial=f"LAB-{number}")
            name = tmp_path / f"drive{number}.json"
            paths.append(hands.make_file_drive(name, description, old_data=OLD))
        rack = Rack(tmp_path, clock)
        process = rack.process()
        request = request_for(paths[0], clock, shipped("nist-clear-full"))
        with pytest.raises(WrongConfirmationError):
            await process.wipe(replace(request, device=str(paths[1])))
        await process.end()
        assert OLD.left_on(paths[1].with_suffix(".img"), 512)

    run_virtually(main)


@pytest.mark.parametrize("event", [EventKind.ANOTHER_DRIVE, EventKind.SERIAL_CHANGES])
def test_14_another_drive_under_the_same_name_is_noticed(tmp_path: Path, event: EventKind) -> None:
    swapped = EventSpec(what=event, after_written_bytes=SIZE // 2)
    seen = wipe(tmp_path, event=(swapped,), other=OtherDrive("LAB", serial="LAB-2"))
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert "identity.mixed" in seen.codes


def test_15_what_the_drive_refused_was_not_done(tmp_path: Path) -> None:
    policy = replace(shipped("nist-clear-full"), final_state=FinalState.DEALLOCATED)
    seen = wipe(tmp_path, policy)
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert "step.refused" in seen.codes


def test_15_a_part_of_the_drive_that_was_left_out_is_noticed() -> None:
    """A namespace that appeared, or one that the plan forgot."""
    good = good_evidence()
    assert good.observed_end is not None
    more = (*good.observed_end.units, replace(good.plan.units[0], unit_id="nsid:2"))
    verdict, codes = verdict_on(replace(good, observed_end=replace(good.observed_end, units=more)))
    assert (verdict, codes) == (Verdict.NOT_SANITIZED, {"unit.not-covered"})
    verdict, codes = verdict_on(replace(good, plan=replace(good.plan, units=more)))
    assert verdict is Verdict.NOT_SANITIZED
    assert "unit.not-covered" in codes


def test_sectors_retired_meanwhile_may_hold_old_data(tmp_path: Path) -> None:
    """Wei et al. 2011: what the drive took out of use is not overwritten."""
    seen = wipe(tmp_path, health=HealthSpec(reallocated_every_bytes=SIZE // 2))
    assert seen.verdict is Verdict.NOT_SANITIZED
    assert "health.retired-during" in seen.codes


# --- the page -----------------------------------------------------------------------------------


def test_the_page_names_every_case_and_only_tests_that_exist() -> None:
    rows = table(PAGE.read_text("utf-8"), "Case")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 16)]
    names = {
        node.name
        for file in PAGE.parents[1].glob("tests/**/test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    mine = {name for name in names if name.startswith(("test_0", "test_1"))}
    told: set[str] = set()
    for row in rows:
        pins = [part.strip("` ") for part in row[2].split("`") if part.startswith("test_")]
        assert pins, f"nothing pins case {row[0]}"
        assert set(pins) <= names, set(pins) - names
        told |= set(pins)
        assert row[3], f"case {row[0]} does not say what waits"
    assert mine <= told, mine - told
