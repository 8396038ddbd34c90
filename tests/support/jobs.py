"""Job directories with a plan, for tests of what is kept in them."""

from __future__ import annotations

from pathlib import Path

from nullbay.config import policies
from nullbay.domain.clock import ClockSync, Stamp
from nullbay.domain.drive import Drive
from nullbay.domain.ids import JobId
from nullbay.domain.outcome import OutcomeKind, SessionEnd, StepOutcome
from nullbay.domain.plan import SanitizationPlan
from nullbay.domain.policy import Policy
from nullbay.wipers.appendfile import Fault, no_fault
from nullbay.wipers.jobdir import JobDirectory, Order, SessionBegan, SessionEnded
from nullbay.wipers.planner import plan
from support.drives import drive, unit

MIB = 1024 * 1024
SIZE_BYTES = 8 * MIB
KEYS = bytes(range(64))
JOB = JobId("j-20261121T200000-0123456789ab")
DRIVE = drive(units=(unit(size_bytes=SIZE_BYTES),))
CLEAR = policies.resolve(policies.shipped(), "nist-clear")
DOD = policies.resolve(policies.shipped(), "dod-5220-22-m")


def moment(second: int) -> Stamp:
    """So many seconds into the job."""
    return Stamp(
        f"2026-11-21T20:{second // 60:02}:{second % 60:02}.000000Z",
        (100 + second) * 1_000_000,
        "boot",
        ClockSync.SYNCHRONISED,
    )


def plan_for(policy: Policy, planned_for: Drive = DRIVE) -> SanitizationPlan:
    """What is done to it under a policy."""
    made = plan(planned_for, policy)
    assert isinstance(made, SanitizationPlan), made
    return made


def new_job(
    folder: Path, policy: Policy = CLEAR, *, rewind_bytes: int = MIB, fault: Fault = no_fault
) -> JobDirectory:
    """A job that has not begun."""
    order = Order(JOB, plan_for(policy), DRIVE, moment(0))
    return JobDirectory.create(folder, order, KEYS, rewind_bytes=rewind_bytes, fault=fault)


def began(second: int, *, resumed: bool = False, from_zero: bool = False) -> SessionBegan:
    """A session begins."""
    return SessionBegan(
        DRIVE.attachment, DRIVE.identity.key, moment(second), resumed, None, from_zero
    )


def ended(second: int, end: SessionEnd, code: str = "") -> SessionEnded:
    """A session ends, with the drive still there."""
    return SessionEnded(end, code, moment(second), DRIVE)


def outcome(number: int, kind: OutcomeKind, *codes: str, second: int = 50) -> StepOutcome:
    """How a step ended."""
    return StepOutcome(number, kind, codes, moment(second), moment(second))
