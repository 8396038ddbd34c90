"""What page 1 of the printed record says, as values: pure, from the signed statement alone.

Every text is finished here; the template only places it. Page 1 must fit on one page whatever the
statement holds, so each field has a length and each list a number; the annex has them in full.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from nullbay.certs import pdf_words as words
from nullbay.certs.pdf_annex import Signed, annex
from nullbay.certs.pdf_annex_work import pattern_words
from nullbay.certs.pdf_blocks import Fact, Section, fact
from nullbay.certs.pdf_readback import Readback, readback_of
from nullbay.certs.predicate import Pass, Predicate, Reason, Statement
from nullbay.domain.errors import MalformedError
from nullbay.domain.ids import JOB_ID_FORM
from nullbay.domain.plan import StepPurpose
from nullbay.domain.reasons import CATALOGUE, text_of
from nullbay.domain.verdict import Effect, Verdict

FIELD_MAX = 40
SERIAL_MAX = 64
FINDINGS_MAX = 4
PEOPLE_MAX = 2
ROLE_MAX = 14
LIMITS_MAX = 300
_GRAVITY = {Effect.DEFINITE: 0, Effect.UNKNOWN: 1, Effect.EXCEPTION: 2}
_ON_EVERY_RECORD = {"limit.station-word", "limit.software-key", "limit.simulated"}


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict: `shape` picks sign and colour, the rest is words."""

    shape: str
    words: str
    sentence: str
    action: str
    action_text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason or exception in plain words."""

    code: str
    text: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Validation:
    """What a person signs by hand, with the two boxes to choose from."""

    title: str
    text: str
    choices: tuple[str, str]


@dataclass(frozen=True, slots=True)
class View:
    """The whole document. `issued` is year, month, day, hour, minute, second in UTC."""

    title: str
    subject: str
    record: str
    simulated: bool
    issued: tuple[int, ...]
    verdict: Headline
    drive: tuple[Fact, ...]
    owner: tuple[Fact, ...]
    method: tuple[Fact, ...]
    readback: Readback
    findings_title: str
    findings: tuple[Finding, ...]
    findings_more: str
    limits: str
    work: tuple[Fact, ...]
    validation: Validation
    check: tuple[Fact, ...]
    command: str
    annex: tuple[Section, ...]


TITLES = {
    Verdict.SANITIZED: "Certificate of sanitization",
    Verdict.SANITIZED_WITH_EXCEPTIONS: "Certificate of sanitization, with exceptions",
    Verdict.NOT_SANITIZED: "Record of unsuccessful sanitization",
    Verdict.INDETERMINATE: "Record of unsuccessful sanitization",
}


def view_of(statement: Statement, signed: Signed) -> View:
    """The document of a statement.

    Raises MalformedError for a statement that contradicts itself in its result or has an impossible
    date: no page is better than one whose big words its own reasons deny.
    """
    said = statement.predicate
    _require_consistent(said)
    issued = words.moment(said.environment.clock.issued_at)
    if issued is None:
        raise MalformedError("the statement was issued on a day that no calendar has")
    serial = words.shown(said.media.serial, SERIAL_MAX) or "none"
    findings = sorted((*said.reasons, *said.exceptions), key=lambda one: _GRAVITY[one.effect])
    left = len(findings) - FINDINGS_MAX
    return View(
        title=TITLES[said.result],
        subject=f"{words.shown(said.media.model, FIELD_MAX)}, serial number {serial}",
        record=words.shown(said.id, 64),
        simulated=said.simulated,
        issued=issued.timetuple()[:6],
        verdict=_headline(said),
        drive=_drive(said),
        owner=_owner(said),
        method=_method(said),
        readback=readback_of(said),
        findings_title=_findings_title(said),
        findings=tuple(_finding(one) for one in findings[:FINDINGS_MAX]),
        findings_more=f"and {left:,} more in annex 1" if left > 0 else "",
        limits=_limits(said),
        work=_work(said),
        validation=_validation(said.result),
        check=(
            Fact("Statement, SHA-256", signed.statement_sha256, "mono"),
            fact("Station key id", signed.key_id, "mono"),
        ),
        command=_command(said),
        annex=annex(statement, signed),
    )


def _require_consistent(said: Predicate) -> None:
    """Result and reasons must tell the same story, by the rule of domain.verdict.conclude."""
    effects = {one.effect for one in (*said.reasons, *said.exceptions)}
    if Effect.DEFINITE in effects:
        due = Verdict.NOT_SANITIZED
    elif Effect.UNKNOWN in effects:
        due = Verdict.INDETERMINATE
    elif Effect.EXCEPTION in effects:
        due = Verdict.SANITIZED_WITH_EXCEPTIONS
    else:
        due = Verdict.SANITIZED
    claimed, required = said.sanitization.method.claimed, said.sanitization.method.required
    fits = claimed is not None and claimed.satisfies(required)
    if due is not said.result or fits != said.result.is_sanitized:
        raise MalformedError(
            "the statement's result is not the one that its reasons and methods allow",
            next_step="Do not rely on it; `nullbay cert verify` says what is wrong",
        )


def _headline(said: Predicate) -> Headline:
    required = words.METHODS[said.sanitization.method.required]
    match said.result:
        case Verdict.SANITIZED:
            made = Headline(
                "check",
                "SANITIZED",
                f"{required} was required, reached and verified.",
                "Release",
                "The drive may leave. Validate below where your policy asks for it.",
            )
        case Verdict.SANITIZED_WITH_EXCEPTIONS:
            number = words.counted(len(said.exceptions), "exception")
            made = Headline(
                "triangle",
                "SANITIZED, WITH EXCEPTIONS",
                f"{required} was required, reached and verified, with {number}.",
                "Hold",
                "A named person must validate the exceptions, below, before the drive leaves.",
            )
        case Verdict.NOT_SANITIZED:
            made = Headline(
                "cross",
                "NOT SANITIZED",
                f"{required} was required and not reached. Data may remain on this drive.",
                "Do not release",
                "Sanitize the drive again as the reasons below say, or destroy it.",
            )
        case Verdict.INDETERMINATE:
            made = Headline(
                "question",
                "INDETERMINATE",
                f"{required} was required; nobody knows whether it was reached. "
                "Treat as not sanitized.",
                "Do not release",
                "Call a technician. The reasons below say what is not known.",
            )
    if not said.simulated:
        return made
    return Headline(
        made.shape,
        made.words,
        made.sentence,
        "Nothing",
        "Simulated: this drive is made of software. Nothing real was sanitized.",
    )


def _drive(said: Predicate) -> tuple[Fact, ...]:
    media = said.media
    names = (("WWN", media.wwn), ("EUI-64", media.eui64), ("NGUID", media.nguid))
    label, name = next(((label, name) for label, name in names if name), ("WWN", ""))
    serial = fact("Serial number", media.serial, "serial", SERIAL_MAX)
    return (
        fact("Maker", media.manufacturer, limit=FIELD_MAX),
        fact("Model", media.model, limit=FIELD_MAX),
        serial if media.serial else Fact("Serial number", "none given by the drive", "absent"),
        *(
            (fact("Serial on label", media.label_serial, "mono", FIELD_MAX),)
            if media.label_serial not in {"", media.serial}
            else ()
        ),
        fact(label, name, "mono", FIELD_MAX),
        Fact("Capacity", words.both(media.size_bytes)),
        Fact("Medium", f"{words.MEDIA[media.media_type]}, {words.TRANSPORTS[media.transport]}"),
        fact("Asset tag", media.asset_tag, "mono", FIELD_MAX),
    )


def _owner(said: Predicate) -> tuple[Fact, ...]:
    lot = said.lot
    level = words.CATEGORIES[lot.data_category] if lot and lot.data_category else ""
    going = words.DESTINATIONS[lot.destination] if lot and lot.destination else ""
    return (
        fact("Organization", said.organization, limit=FIELD_MAX),
        fact("Customer", lot.customer if lot else "", limit=FIELD_MAX),
        fact("Lot", lot.reference if lot else "", limit=FIELD_MAX),
        fact("Site", lot.site if lot else "", limit=FIELD_MAX),
        fact("Work order", lot.work_order if lot else "", limit=FIELD_MAX),
        fact("Came from", lot.source if lot else "", limit=FIELD_MAX),
        fact("Confidentiality", level),
        fact("Destination", said.destination or going, limit=FIELD_MAX),
    )


def _method(said: Predicate) -> tuple[Fact, ...]:
    method = said.sanitization.method
    if method.claimed is not None:
        reached = words.METHODS[method.claimed]
    else:
        reached = "not known" if said.result is Verdict.INDETERMINATE else "not reached"
    return (
        Fact("Required", words.METHODS[method.required]),
        Fact("Reached", reached),
        Fact("How", _how(said)),
    )


def _how(said: Predicate) -> str:
    """Technique and passes in a sentence or two, and how much the drive confirmed as written."""
    passes = [one for one in said.sanitization.passes if one.purpose is StepPurpose.METHOD]
    told = words.sentence(words.TECHNIQUES[said.sanitization.technique])
    if passes:
        told = f"{told[:-1]}, {_passes(said, passes)}. {_written(said, passes)}"
    after = [one for one in said.sanitization.passes if one.purpose is not StepPurpose.METHOD]
    if not after:
        return told
    patterns = dict.fromkeys(pattern_words(one) for one in after)
    return words.clipped(f"{told} Then, for the final state: {', '.join(patterns)}.", 420)


def _passes(said: Predicate, passes: list[Pass]) -> str:
    number = max(Counter(one.unit_id for one in passes).values())
    patterns = list(dict.fromkeys(pattern_words(one) for one in passes))
    told = (
        patterns[0]
        if len(patterns) == 1
        else f"patterns of {words.shown(said.sanitization.scheme, 40)}"
    )
    return f"{words.counted(number, 'pass', 'passes')}: {words.clipped(told, 80)}"


def _written(said: Predicate, passes: list[Pass]) -> str:
    sizes = {unit.unit_id: unit.size_bytes for unit in said.media.units}
    due = sum(sizes.get(one.unit_id, 0) for one in passes)
    done = sum(min(one.flushed_bytes, sizes.get(one.unit_id, 0)) for one in passes)
    lost = sum(one.unwritable.count for one in passes)
    told = f"Written and confirmed by the drive: {words.of_whole(done, due)}"
    told += " over all passes" if len(passes) > 1 else ""
    return told + (f"; {words.counted(lost, 'sector')} could not be written." if lost else ".")


def _findings_title(said: Predicate) -> str:
    if not said.reasons and not said.exceptions:
        return ""
    return "Reasons" if said.reasons else "Exceptions"


def _finding(one: Reason) -> Finding:
    known = CATALOGUE.get(one.code)
    detail = f" ({words.shown(one.detail, 60)})" if one.detail else ""
    return Finding(
        one.code,
        words.sentence(text_of(one.code) + detail),
        words.sentence(known.next_step) if known else "",
    )


def _limits(said: Predicate) -> str:
    """Those that differ from record to record, as many as fit; the annex has all."""
    told = [text_of(code) for code in said.limitations if code not in _ON_EVERY_RECORD]
    fitting = [one for n, one in enumerate(told) if len("; ".join(told[: n + 1])) <= LIMITS_MAX]
    left = len(told) - len(fitting)
    more = f"; and {left:,} more in annex 9" if left else ""
    return "; ".join(fitting) + more + "." if fitting else ""


def _work(said: Predicate) -> tuple[Fact, ...]:
    attempt = said.attempt
    place = f"{said.environment.station}, bay {said.environment.bay or 'none'}"
    people = [
        fact(
            words.shown(one.role[:1].upper() + one.role[1:], ROLE_MAX) or "Person",
            one.id + (f" ({one.title})" if one.title else ""),
            limit=FIELD_MAX,
        )
        for one in said.people
    ]
    left = len(people) - PEOPLE_MAX
    return (
        *(people[:PEOPLE_MAX] or (Fact("By", "nobody named", "absent"),)),
        *((Fact("", f"and {left:,} more in annex 7"),) if left > 0 else ()),
        fact("Station", place, limit=FIELD_MAX),
        Fact("Began", words.when(attempt.started_at)),
        Fact("Ended", words.when(attempt.ended_at)),
        Fact("Signed", words.when(said.environment.clock.issued_at)),
    )


def _command(said: Predicate) -> str:
    """What to type. A name that could do more in a shell than name a file is not printed."""
    job = said.attempt.job_id
    name = job if JOB_ID_FORM.fullmatch(job) else "CERTIFICATE"
    return f"nullbay cert verify {name}.sigstore.json --trust station.pub.pem"


def _validation(result: Verdict) -> Validation:
    if result.is_sanitized:
        return Validation(
            "Validation by a person (SP 800-88r2, 4.5.2)",
            "I have considered this result, its limits and any exceptions, and it is",
            ("accepted", "rejected"),
        )
    return Validation(
        "Decision of a person (SP 800-88r2, 4.5.2)",
        "I do not accept this drive as sanitized. It is to be",
        ("sanitized again", "destroyed"),
    )
