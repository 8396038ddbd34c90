"""How a job and a stay stand, as pure answers: resumable or not, still here, and what is closed."""

from __future__ import annotations

from dataclasses import fields

from nullbay.agent.journal.store import InsertionRow, JobRow
from nullbay.certs.ledger import InsertionClosed
from nullbay.domain.clock import UNKNOWN_BOOT
from nullbay.domain.drive import Attachment, Drive
from nullbay.domain.ids import InsertionId, JobId
from nullbay.domain.lot import InsertionEnd
from nullbay.domain.plan import Held as HeldForDestruction
from nullbay.domain.plan import Refusal, SanitizationPlan
from nullbay.wipers.client import JobView


def not_resumable(
    view: JobView,
    row: JobRow,
    planned: SanitizationPlan | HeldForDestruction,
    *,
    same_policy: bool,
) -> tuple[Refusal, ...]:
    """Why an open job of this drive cannot go on as asked; empty if it can."""
    if not same_policy:
        return (Refusal("job.open", f"{row.job_id} under {row.policy_id}"),)
    if isinstance(planned, HeldForDestruction):
        return planned.refusals
    if planned.sha256 != row.plan_sha256:
        changed = [
            one.name
            for one in fields(planned)
            if getattr(planned, one.name) != getattr(view.order.plan, one.name)
        ]
        if "units" in changed:
            changed.append(f"{view.order.plan.units} before, {planned.units} now")
        return (Refusal("plan.changed", f"{row.job_id}: {', '.join(changed)}"),)
    return ()


def was_here(view: JobView, here: Attachment) -> bool:
    """Whether the job's drive was last seen on this very attachment, and has not left since."""
    if not here.boot_id or here.boot_id == UNKNOWN_BOOT or not all(n.diskseq for n in here.nodes):
        return False
    return here == view.attachment


def closing(
    insertion: InsertionId,
    drive: Drive | None,
    cause: InsertionEnd,
    *,
    jobs: tuple[JobId, ...] = (),
    scanned: str = "",
    refusals: tuple[str, ...] = (),
) -> InsertionClosed:
    """The closing of a stay."""
    return InsertionClosed(
        insertion_id=insertion,
        identity_key=drive.identity.key if drive else "",
        scanned=scanned,
        bay=(drive.attachment.bay or "") if drive else "",
        cause=cause,
        jobs=jobs,
        refusals=refusals,
    )


def cut_off(row: InsertionRow) -> InsertionClosed:
    """The closing of a stay that its command did not live to close."""
    return InsertionClosed(
        insertion_id=row.insertion_id,
        identity_key=row.identity_key,
        scanned="",
        bay=row.bay,
        cause=InsertionEnd.STATION_STOPPED,
        jobs=(row.job_id,) if row.job_id else (),
        refusals=(),
    )
