"""`nullbay jobs|station|journal|ledger|key …`: the state directory of a station."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nullbay.agent.journal.recover import put_in_place, recover
from nullbay.agent.journal.store import FILE_NAME, Journal
from nullbay.certs import ledger
from nullbay.certs.keys import PublicKey
from nullbay.cli import context, output
from nullbay.config.pins import Pin, read_pins, write_pins
from nullbay.domain.drive import Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.job import JobState
from nullbay.domain.text import show
from nullbay.wipers.platform.discover import list_drives
from nullbay.wipers.platform.filelock import FileLock
from nullbay.wipers.platform.hostfacts import LinuxHostFacts

EXIT_BAD = 1
OPEN = frozenset(JobState) - {JobState.CERTIFIED, JobState.DELIVERED}


class PinError(NullbayError):
    """The station's own disks cannot be told from others."""

    code = "station.pin"


def jobs(arguments: Any) -> int:
    """Every job, newest first."""
    state, journal = _journal(arguments)
    try:
        rows = [(row, journal.state(row.job_id)) for row in journal.jobs()]
    finally:
        journal.close()
    if arguments.json:
        output.emit(
            "jobs",
            state_dir=str(state),
            jobs=[
                {
                    "job": row.job_id,
                    "state": job.state.value,
                    "open": job.state in OPEN,
                    "verdict": job.verdict.value if job.verdict else None,
                    "policy": row.policy_id,
                    "plan_sha256": row.plan_sha256,
                    "attempt": row.attempt,
                    "sessions": job.sessions,
                }
                for row, job in rows
            ],
        )
        return 0
    cells = [
        (
            row.job_id,
            job.state.value,
            job.verdict.value if job.verdict else "-",
            row.policy_id,
            str(row.attempt),
        )
        for row, job in rows
    ]
    output.say(
        output.table(("job", "state", "verdict", "policy", "attempt"), cells)
        if cells
        else "No jobs."
    )
    return 0


def pin(arguments: Any) -> int:
    """Record the disks that carry this system: they are never targets, whatever is mounted."""
    state = context.state_dir(arguments, lab=False)
    own = _own_disks()
    weak = [one for one in own if not one.identity.is_strong]
    if weak or not own:
        names = ", ".join(one.attachment.nodes[0].name for one in weak) or "none found"
        raise PinError(
            f"the system's disks have no serial and no world-wide name to pin them by ({names})",
            next_step="The running system is refused without pins; a clone of it would not be",
        )
    pins = tuple(_pin(one) for one in own)
    write_pins(state, pins)
    if arguments.json:
        output.emit("pins", pins=[_plain(one) for one in pins])
    else:
        for one in pins:
            output.say(f"pinned {one.model} {one.serial} {one.wwn}")
    return 0


def check_pins(arguments: Any) -> int:
    """Whether this system runs from a pinned disk."""
    pins = read_pins(context.state_dir(arguments, lab=False))
    own = {(_pin(one).wwn, _pin(one).serial) for one in _own_disks()}
    missing = [one for one in pins if (one.wwn, one.serial) not in own]
    code = 0 if pins and not missing else EXIT_BAD
    if arguments.json:
        output.emit(
            "pins-check",
            exit_code=code,
            pins=[_plain(one) for one in pins],
            not_running=[_plain(one) for one in missing],
        )
    elif not pins:
        output.say("Nothing is pinned. `nullbay station pin` does it.")
    elif missing:
        output.say(
            "This system does not run from: "
            + ", ".join(f"{one.model} {one.serial}" for one in missing)
        )
    else:
        output.say("The system runs from its pinned disks.")
    return code


def check_journal(arguments: Any) -> int:
    """SQLite's full integrity check, and a replay of every job."""
    state, journal = _journal(arguments)
    try:
        journal.check(full=True)
        count = len([journal.state(row.job_id) for row in journal.jobs()])
    finally:
        journal.close()
    if arguments.json:
        output.emit("journal-check", exit_code=0, state_dir=str(state), jobs=count)
    else:
        output.say(f"The journal is sound; {count} jobs replay.")
    return 0


def recover_journal(arguments: Any) -> int:
    """Save a damaged journal beside itself; put the copy in its place where asked to."""
    state = context.state_dir(arguments, lab=False)
    if not (state / FILE_NAME).exists():
        raise context.UsageError(
            f"there is no journal in {state}", next_step="Name the state directory with --state-dir"
        )
    lock = FileLock(state / "lock", exclusive=True)
    try:
        station_key, _ = context.keys_of(state, lab=state.name == "demo")
        key = PublicKey.from_pem(station_key.public_key_pem)
        found = recover(state, context.make_clock(), key)
        kept = put_in_place(state) if arguments.put_in_place else None
    finally:
        lock.release()
    code = 0 if found.is_whole else EXIT_BAD
    if arguments.json:
        output.emit(
            "journal-recover",
            exit_code=code,
            saved=str(state / FILE_NAME if kept else found.path),
            damaged=str(kept or state / FILE_NAME),
            rows=found.rows,
            unreadable=found.unreadable,
            entries=found.entries,
            chain_error=found.chain_error,
            jobs=found.jobs,
            jobs_not_replaying=found.jobs_not_replaying,
        )
        return code
    output.say(f"{found.rows} rows saved, {found.unreadable} could not be read.")
    output.say(
        f"{found.entries} ledger entries; " + (found.chain_error or "their chain is unbroken.")
    )
    output.say(f"{found.jobs} jobs, of which {found.jobs_not_replaying} do not replay.")
    if kept:
        output.say(f"The damaged journal is kept as {kept.name}; what was saved is used now.")
    else:
        output.say(f"Saved as {found.path.name}; the journal itself was not changed.")
        output.say("`nullbay journal recover --put-in-place` uses it from now on.")
    return code


def check_ledger(arguments: Any) -> int:
    """The whole chain and its signatures, and whether every job closed."""
    state, journal = _journal(arguments)
    station_key, _ = context.keys_of(state, lab=state.name == "demo")
    try:
        entries = tuple(journal.ledger())
    finally:
        journal.close()
    head = ledger.check_chain(entries, [PublicKey.from_pem(station_key.public_key_pem)])
    report = ledger.check_jobs(entries)
    bad = bool(report.doubled or report.never_started)
    if arguments.json:
        output.emit(
            "ledger-check",
            exit_code=EXIT_BAD if bad else 0,
            sequence=head.sequence,
            head_sha256=head.sha256,
            open_jobs=list(report.unconcluded),
            doubled=list(report.doubled),
            never_started=list(report.never_started),
        )
    else:
        output.say(f"The chain of {head.sequence} entries is unbroken; its head is {head.sha256}.")
        if report.unconcluded:
            output.say("Open jobs: " + ", ".join(report.unconcluded))
        if bad:
            output.say(
                "Closed twice, or never started: "
                + ", ".join((*report.doubled, *report.never_started))
            )
    return EXIT_BAD if bad else 0


def init_key(arguments: Any) -> int:
    """Make the keys now rather than with the first job."""
    context.keys_of(context.state_dir(arguments, lab=False), lab=False)
    return show_key(arguments)


def show_key(arguments: Any) -> int:
    """Public keys, to be given to whoever checks certificates."""
    state = context.state_dir(arguments, lab=False)
    if not (state / "keys" / "station.pem").exists() and arguments.command == "key show":
        raise context.UsageError(
            "there are no keys yet", next_step="Make them with `nullbay key init`"
        )
    signers = context.keys_of(state, lab=False)
    if arguments.json:
        output.emit(
            "keys",
            keys=[
                {
                    "name": one.key_name,
                    "key_id": PublicKey.from_pem(one.public_key_pem).key_id,
                    "public_key_pem": one.public_key_pem.decode(),
                }
                for one in signers
            ],
        )
    else:
        for one in signers:
            output.say(f"# {one.key_name} {PublicKey.from_pem(one.public_key_pem).key_id}")
            output.say(one.public_key_pem.decode().rstrip())
    return 0


def _journal(arguments: Any) -> tuple[Path, Journal]:
    state = context.state_dir(arguments, lab=False)
    if not (state / FILE_NAME).exists():
        raise context.UsageError(
            f"there is no journal in {state}", next_step="Name the state directory with --state-dir"
        )
    return state, Journal(state, context.make_clock())


def _own_disks() -> tuple[Drive, ...]:
    """Drives that carry the root file system or another part of the system."""
    facts = LinuxHostFacts()
    root = facts.root_drive()
    own = [
        one
        for one in list_drives()
        if any(use.kind.value == "system" for use in facts.uses_of(one).uses)
    ]
    keys = {one.attachment.device_path for one in own}
    return tuple(own if root is None or root.attachment.device_path in keys else [root, *own])


def _pin(drive: Drive) -> Pin:
    identity = drive.identity
    return Pin(identity.wwn, show(identity.serial.raw), show(identity.model.raw))


def _plain(one: Pin) -> dict[str, str]:
    return {"wwn": one.wwn, "serial": one.serial, "model": one.model}


COMMANDS = {
    "jobs": jobs,
    "station pin": pin,
    "station check": check_pins,
    "journal check": check_journal,
    "journal recover": recover_journal,
    "ledger check": check_ledger,
    "key init": init_key,
    "key show": show_key,
}
