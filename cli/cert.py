"""`nullbay cert …`: check, re-read, show and export what a station signed."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nullbay.certs import archive as archives
from nullbay.certs import bundle, pdf, statement
from nullbay.certs import verify as verifying
from nullbay.certs.keys import PublicKey, read_trust_file
from nullbay.cli import context, output
from nullbay.cli.drives import EXIT_REFUSED, refusals_plain
from nullbay.cli.progress import Progress
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.outcome import JobEvidence, StepOutcome
from nullbay.domain.patterns import Keyed
from nullbay.domain.plan import DeallocateStep, OverwriteStep, Refusal
from nullbay.domain.policy import Full
from nullbay.domain.reasons import text_of
from nullbay.domain.sampling import SEED_BYTES
from nullbay.domain.verdict import Verdict
from nullbay.wipers import protocol as p
from nullbay.wipers.service import Bench, RefusedError
from nullbay.wipers.stream import KEY_BYTES, commitment

EXIT_DIFFERS = 60
EXIT_UNREADABLE = 30
BUNDLE_SUFFIX = ".sigstore.json"
ARCHIVE_SUFFIX = ".evidence.tar.zst"
PATTERN_KEY = "pattern-key.bin"


def verify(arguments: Any) -> int:
    """Check one bundle or every bundle of a folder; the worst exit code of all."""
    trust = _trust(arguments.trust)
    path: Path = arguments.path
    files = verifying.find_bundles(path) if path.is_dir() else [path]
    codes = [_verify_one(file, trust, arguments) for file in files]
    if not codes:
        output.note(f"no bundles ({BUNDLE_SUFFIX}) in {path}")
        return verifying.EXIT_MALFORMED
    return max(codes)


def recheck(arguments: Any) -> int:
    """Read the drive and compare it with what the certificate says was written."""
    data = _read_bundle(arguments.path)
    trust = _trust(arguments.trust) if arguments.trust else _keys_inside(data, arguments.path)
    archive = arguments.evidence or _archive_beside(arguments.path)
    checked = verifying.verify(data, trust, archive)
    evidence = checked.transcript.evidence
    if any(isinstance(step, DeallocateStep) for step in evidence.plan.steps):
        why = Refusal("limit.deallocated-afterwards", "nothing says what it should read as")
        return _tell_recheck(arguments, "refused", EXIT_REFUSED, [], (why,))
    claims = _claims(evidence, archive)
    lab = context.is_lab(arguments.device)
    settings = context.load_settings(arguments, None)
    arguments.outside_bays = not lab and os.geteuid() == 0
    clock = context.make_clock()
    host = context.host_for(clock, lab=lab)
    bench = Bench(
        Path(os.devnull), host, context.build(), context.placement(arguments, settings, lab=lab)
    )
    progress = Progress(as_json=False)

    async def read() -> list[p.Rechecked]:
        held = await bench.open(arguments.device)
        try:
            if refusal := _not_this_drive(held.drive, evidence):
                raise RefusedError((refusal,), held.drive)
            return [
                await bench.recheck(held, _order(evidence, claim, arguments.samples), progress.take)
                for claim in claims
            ]
        finally:
            progress.end()
            await held.close()

    try:
        results = asyncio.run(read())
    except RefusedError as error:
        return _tell_recheck(arguments, "refused", EXIT_REFUSED, [], error.refusals)
    unfinished = any(one.code or one.result.unreadable.count for one in results)
    if any(one.result.mismatched for one in results):
        return _tell_recheck(arguments, "differs", EXIT_DIFFERS, results)
    if unfinished:
        return _tell_recheck(arguments, "unreadable", EXIT_UNREADABLE, results)
    return _tell_recheck(arguments, "matches", 0, results)


def show(arguments: Any) -> int:
    """Print the statement; nothing is checked but its form, and it says so."""
    read = bundle.read(_read_bundle(arguments.path))
    if arguments.json:
        output.emit("cert-show", checked=False, statement=json.loads(read.envelope.payload))
        return 0
    said = statement.read(read.envelope.payload)
    output.note("Not checked: use `nullbay cert verify`.")
    output.say(json.dumps(said.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=True))
    return 0


def render(arguments: Any) -> int:
    """The PDF, from the signed data alone."""
    target = arguments.out or Path(str(arguments.path).removesuffix(BUNDLE_SUFFIX) + ".pdf")
    target.write_bytes(pdf.render(_read_bundle(arguments.path)))
    if arguments.json:
        output.emit("cert-pdf", pdf=str(target.absolute()))
    else:
        output.say(str(target))
    return 0


def export(arguments: Any) -> int:
    """Copy a finished record out of the state directory."""
    for lab in (False, True):
        station = context.open_station(_without_device(arguments), lab=lab)
        try:
            rows = [
                one
                for one in station.journal.jobs()
                if one.job_id == arguments.job and one.statement_id
            ]
            if rows:
                recorded = station.certifier.record_of(rows[0], arguments.out.absolute())
                if arguments.json:
                    output.emit(
                        "cert-export",
                        certificate=str(recorded.bundle),
                        evidence=str(recorded.archive),
                    )
                else:
                    output.say(str(recorded.bundle))
                return 0
        finally:
            station.close()
    raise context.UsageError(f"no finished job {arguments.job!r}", next_step="See `nullbay jobs`")


@dataclass(frozen=True, slots=True)
class _Claim:
    """The last pass over one unit, and the key it was written with (zeros where it has none)."""

    step: OverwriteStep
    outcome: StepOutcome
    job_key: bytes


def _claims(evidence: JobEvidence, archive: Path | None) -> list[_Claim]:
    """What the drive must hold, unit by unit. Raises MalformedError where there is nothing."""
    outcomes = {one.number: one for one in evidence.outcomes}
    claims = []
    for unit in evidence.plan.units:
        steps = [
            one
            for one in evidence.plan.steps
            if isinstance(one, OverwriteStep)
            and one.unit_id == unit.unit_id
            and one.number in outcomes
        ]
        if not steps:
            raise MalformedError("this record says of no pass that it was written")
        last = max(steps, key=lambda one: one.number)
        key = _job_key(evidence, archive) if isinstance(last.pattern, Keyed) else bytes(KEY_BYTES)
        claims.append(_Claim(last, outcomes[last.number], key))
    return claims


def _job_key(evidence: JobEvidence, archive: Path | None) -> bytes:
    if archive is None:
        raise context.UsageError(
            "the evidence archive with the pattern key is not there",
            next_step="Name it with --evidence",
        )
    key = archives.read(archive).get(PATTERN_KEY, b"")
    if evidence.pattern_key is None or commitment(key) != evidence.pattern_key.commitment_sha256:
        raise MalformedError("the pattern key of the archive is not the one committed to")
    return key


def _order(evidence: JobEvidence, claim: _Claim, samples: str) -> p.Recheck:
    recorded = claim.outcome.verification
    profile, seed = (recorded.profile, recorded.seed) if recorded else (Full(), b"")
    if samples == "full":
        profile, seed = Full(), b""
    elif samples == "fresh" and not isinstance(profile, Full):
        seed = secrets.token_bytes(SEED_BYTES)
    return p.Recheck(
        plan=evidence.plan,
        job_key=claim.job_key,
        finding_key=secrets.token_bytes(KEY_BYTES),
        number=claim.step.number,
        profile=profile,
        seed=seed,
    )


def _not_this_drive(drive: Any, evidence: JobEvidence) -> Refusal | None:
    """Names and sizes must agree; without a name only a keyed stream can prove the drive."""
    if drive.identity.key != evidence.identity.key:
        return Refusal(
            "identity.changed",
            f"this is {drive.identity.model.shown} {drive.identity.serial.shown}",
        )
    patterns = [one.pattern for one in evidence.plan.steps if isinstance(one, OverwriteStep)]
    if not evidence.identity.is_strong and not isinstance(patterns[-1], Keyed):
        why = "no serial, no world-wide name, and a pattern that any drive may hold"
        return Refusal("identity.unprovable", why)
    sizes = {unit.unit_id: unit.size_bytes for unit in drive.observed.units}
    if sizes != {unit.unit_id: unit.size_bytes for unit in evidence.plan.units}:
        return Refusal(
            "identity.changed", f"{drive.observed.size_bytes} bytes, not {evidence.plan.size_bytes}"
        )
    return None


def _tell_recheck(
    arguments: Any,
    word: str,
    exit_code: int,
    results: list[p.Rechecked],
    refused: tuple[Refusal, ...] = (),
) -> int:
    lbas = sorted(one.lba for result in results for one in result.result.mismatches)
    unreadable = sorted(lba for result in results for lba in result.result.unreadable.first)
    read = sum(result.result.read_bytes for result in results)
    planned = sum(result.result.planned_bytes for result in results)
    if arguments.json:
        output.emit(
            "recheck",
            result=word,
            exit_code=exit_code,
            first_lba=lbas[0] if lbas else None,
            mismatched=sum(result.result.mismatched for result in results),
            mismatched_lbas=lbas,
            unreadable_lbas=unreadable,
            read_bytes=read,
            planned_bytes=planned,
            refusals=refusals_plain(refused),
        )
        return exit_code
    for one in refused:
        output.say(f"  {one.code}: {text_of(one.code)} [{one.evidence}]")
    first = lbas[0] if lbas else "?"
    told = {
        "matches": "The drive holds what its certificate says.",
        "differs": f"The drive differs from its certificate, first at LBA {first}.",
        "unreadable": "The drive could not be read where it had to be.",
        "refused": "Not compared.",
    }
    output.say(f"{told[word]} {read} of {planned} bytes read.")
    return exit_code


def _verify_one(file: Path, trust: tuple[PublicKey, ...], arguments: Any) -> int:
    archive = _archive_beside(file)
    try:
        checked = verifying.verify(_read_bundle(file), trust, archive)
    except verifying.NotAuthenticError as error:
        return _tell_bad(arguments, file, verifying.EXIT_NOT_AUTHENTIC, error)
    except MalformedError as error:
        return _tell_bad(arguments, file, verifying.EXIT_MALFORMED, error)
    code = 0 if arguments.authentic_only else checked.verdict.exit_code
    media = checked.statement.predicate.media
    if arguments.json:
        output.emit(
            "cert-verify",
            file=str(file),
            exit_code=code,
            authentic=True,
            verdict=checked.verdict.value,
            reasons=[
                {
                    "code": one.code,
                    "text": text_of(one.code),
                    "effect": one.effect.value,
                    "detail": one.detail,
                }
                for one in checked.conclusion.findings
            ],
            serial=media.serial,
            model=media.model,
            simulated=checked.transcript.evidence.plan.simulated,
            station_key=checked.station_key.key_id,
            archive_checked=archive is not None,
            notes=list(checked.notes),
        )
        return code
    output.say(f"{file.name}: authentic. {output.verdict_words(Verdict(checked.verdict))}")
    output.say(f"  {media.model} {media.serial}")
    for finding in checked.conclusion.findings:
        output.say(
            f"  {finding.code}: {text_of(finding.code)}"
            + (f" [{finding.detail}]" if finding.detail else "")
        )
    for one in checked.notes:
        output.say(f"  note: {one}")
    return code


def _tell_bad(arguments: Any, file: Path, code: int, error: NullbayError) -> int:
    if arguments.json:
        why = {"code": error.code, "message": str(error), "next_step": error.next_step}
        output.emit(
            "cert-verify", file=str(file), exit_code=code, authentic=False, verdict=None, error=why
        )
    else:
        word = "NOT AUTHENTIC" if code == verifying.EXIT_NOT_AUTHENTIC else "MALFORMED"
        output.say(f"{file.name}: {output.painted(word, '31')}: {error.told()}")
    return code


def _trust(paths: list[Path]) -> tuple[PublicKey, ...]:
    return tuple(dict.fromkeys(key for path in paths for key in read_trust_file(path)))


def _keys_inside(data: bytes, path: Path) -> tuple[PublicKey, ...]:
    """A re-check rests on the drive; without --trust the key beside the bundle is taken."""
    beside = path.parent / "station.pub.pem"
    if not beside.exists():
        raise context.UsageError("no key to trust", next_step="Name one with --trust")
    bundle.read(data)
    return read_trust_file(beside)


def _read_bundle(path: Path) -> bytes:
    if not path.is_file():
        raise context.UsageError(f"{path} is no file", next_step="Name a bundle")
    with path.open("rb") as file:
        return file.read(bundle.BUNDLE_MAX_BYTES + 1)


def _archive_beside(path: Path) -> Path | None:
    beside = Path(str(path).removesuffix(BUNDLE_SUFFIX) + ARCHIVE_SUFFIX)
    return beside if beside.exists() else None


def _without_device(arguments: Any) -> Any:
    arguments.outside_bays = False
    return arguments


COMMANDS = {
    "cert verify": verify,
    "cert recheck": recheck,
    "cert show": show,
    "cert pdf": render,
    "cert export": export,
}
