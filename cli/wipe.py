"""`nullbay wipe`: one drive in the foreground, the same engine and guard as a station's.

The first Ctrl-C concludes and records; the second, or SIGTERM, leaves the job open, and the same
command resumes it.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import Any

from nullbay.agent.conduct import Conductor, WipeRequest, WipeResult
from nullbay.cli import context, output
from nullbay.cli.drives import EXIT_REFUSED, refusals_plain
from nullbay.cli.main import EXIT_INTERRUPTED
from nullbay.cli.progress import Progress
from nullbay.domain.ids import JobId
from nullbay.domain.reasons import text_of
from nullbay.domain.verdict import Effect, Finding, Verdict

TAG_MAX_CHARACTERS = 128


class _Interrupted(Exception):  # noqa: N818 - not an error: the user's wish
    """The job stays open."""


def wipe(arguments: Any) -> int:
    """Wipe, certify, tell."""
    _require_tags(arguments)
    lab = context.is_lab(arguments.device)
    station = context.open_station(arguments, lab=lab)
    try:
        policy = context.load_policy(arguments.policy, station.settings)
        request = WipeRequest(
            device=arguments.device,
            policy=policy,
            confirm=arguments.confirm,
            lot=context.find_lot(arguments.lot, station.settings),
            asset_tag=arguments.asset_tag,
            label_serial=arguments.label_serial,
            people=context.find_people(arguments.operator, station.settings),
            restart=arguments.restart,
            rate_limit_bytes_per_s=arguments.rate_limit,
        )
        out = arguments.out.absolute()
        _require_place(out, station)
        try:
            result = asyncio.run(_conduct(station, request, out, as_json=arguments.json))
        except _Interrupted:
            output.note("Left as it is; the same command resumes it.")
            if arguments.json:
                output.emit("wipe-interrupted", exit_code=EXIT_INTERRUPTED)
            return EXIT_INTERRUPTED
        code = _tell(arguments, result)
        if result.job is not None and result.recorded is not None:
            asyncio.run(_told(station, result.job))
        return code
    finally:
        station.close()


def _require_tags(arguments: Any) -> None:
    """Tags are short and printable: they stand on the certificate."""
    for name in ("asset_tag", "label_serial", "lot"):
        text = getattr(arguments, name) or ""
        if len(text) > TAG_MAX_CHARACTERS or not text.isprintable():
            raise context.UsageError(
                f"--{name.replace('_', '-')} is not a short printable text",
                next_step=f"Use at most {TAG_MAX_CHARACTERS} printable characters",
            )


def _require_place(out: Path, station: context.StationParts) -> None:
    """Found out before hours are spent: records can be written there, and beside our own only."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out) as file:
            file.write(bytes(1 << 20))
    except OSError as error:
        raise context.UsageError(
            f"nothing can be written to {out}: {error.strerror}", next_step="Name another --out"
        ) from error
    there = out / "station.pub.pem"
    if there.exists() and there.read_bytes() != station.certifier.station_public_key_pem:
        raise context.UsageError(
            f"{out} holds records of another station", next_step="Name another --out"
        )


async def _conduct(
    station: context.StationParts, request: WipeRequest, out: Path, *, as_json: bool
) -> WipeResult:
    async with station.conductor() as conductor:
        return await _steered(conductor, request, out, as_json=as_json)


async def _told(station: context.StationParts, job: JobId) -> None:
    """The bench need not keep the job any more."""
    async with station.conductor() as conductor:
        await conductor.told(job)


async def _steered(
    conductor: Conductor, request: WipeRequest, out: Path, *, as_json: bool
) -> WipeResult:
    progress = Progress(as_json=as_json)
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(conductor.wipe(request, out, progress.take))
    left = False
    abort: asyncio.Task[None] | None = None

    def leave() -> None:
        nonlocal left
        left = True
        work.cancel()

    def interrupt() -> None:
        nonlocal abort
        if abort is not None:
            leave()
            return
        progress.end()
        output.note(
            "Stopping: the job will be concluded and recorded. Ctrl-C again leaves it open."
        )
        abort = asyncio.create_task(conductor.abort())

    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, leave)
    try:
        return await work
    except asyncio.CancelledError:
        if left:
            raise _Interrupted from None
        raise
    finally:
        progress.end()
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)


def result_plain(result: WipeResult) -> dict[str, Any]:
    """The last line of `--json`: `nullbay.wipe-result/1`."""
    recorded = result.recorded
    verdict, findings = _verdict(result)
    return {
        "verdict": verdict.value if verdict else None,
        "exit_code": verdict.exit_code if verdict else EXIT_REFUSED,
        "reasons": [
            {
                "code": one.code,
                "text": text_of(one.code),
                "effect": one.effect.value,
                "detail": one.detail,
            }
            for one in findings
        ],
        "refusals": refusals_plain(result.refusals),
        "job": result.job,
        "open": result.open_code or None,
        "certificate": str(recorded.bundle) if recorded else None,
        "evidence": str(recorded.archive) if recorded else None,
        "pdf": str(recorded.pdf) if recorded else None,
        "public_key": str(recorded.public_key) if recorded else None,
    }


def _verdict(result: WipeResult) -> tuple[Verdict | None, tuple[Finding, ...]]:
    """The recorded verdict; INDETERMINATE for a job that waits for its drive; None when refused."""
    if result.recorded is not None:
        return result.recorded.conclusion.verdict, result.recorded.conclusion.findings
    if result.refusals:
        return None, ()
    return Verdict.INDETERMINATE, (Finding(result.open_code, Effect.UNKNOWN),)


def _tell(arguments: Any, result: WipeResult) -> int:
    plain = result_plain(result)
    if arguments.json:
        output.emit("wipe-result", **plain)
        return int(plain["exit_code"])
    for one in plain["refusals"]:
        output.say(f"  {one['code']}: {one['text']} [{one['evidence']}]")
    if result.refusals:
        output.say(output.painted("Refused; nothing was changed.", "31"))
        return EXIT_REFUSED
    verdict, findings = _verdict(result)
    if result.recorded is None:
        output.say(
            f"Not finished: {text_of(result.open_code)}. Job {result.job} waits for the drive."
        )
        output.say("Plug it in again and run the same command: it resumes.")
    elif verdict is not None:
        output.say(output.verdict_words(verdict))
    for finding in findings:
        output.say(
            f"  {finding.code}: {text_of(finding.code)}"
            + (f" [{finding.detail}]" if finding.detail else "")
        )
    if result.recorded is not None:
        output.say(f"  record    {result.recorded.bundle}")
        output.say(f"  document  {result.recorded.pdf}")
        where = result.recorded.public_key.parent
        output.say(f"  check     {output.verify_command(result.recorded.bundle, where)}")
    return int(plain["exit_code"])


COMMANDS = {"wipe": wipe}
