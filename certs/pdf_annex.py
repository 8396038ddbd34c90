"""The annex of the printed record, for the engineer: everything signed that page 1 is too small for.

Sections of facts, tables and notes, as finished text from the statement. Long lists stop at a stated
number of rows and say how many more the signed record holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from nullbay.certs import pdf_words as words
from nullbay.certs.predicate import (
    Health,
    Pass,
    Predicate,
    Profile,
    Reason,
    Sectors,
    Session,
    Statement,
    Verification,
    VerificationResult,
)
from nullbay.domain.patterns import Keyed, Repeat
from nullbay.domain.plan import StepPurpose
from nullbay.domain.reasons import CATALOGUE, text_of
from nullbay.domain.text import show

ROWS_MAX = 400
DETAILS_MAX = 64
RAW_HEX_SHOWN = 512
DASH = "–"

Style: TypeAlias = Literal["plain", "mono", "serial", "absent"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and what is said about it: `mono` for identifiers, `absent` where nothing was said."""

    label: str
    value: str
    style: Style = "plain"


@dataclass(frozen=True, slots=True)
class Facts:
    """Labelled values, one below the other."""

    kind: ClassVar[str] = "facts"
    rows: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: share of the width, right-aligned for numbers, mono for identifiers."""

    title: str
    share: int
    right: bool = False
    mono: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column titles; `more` says what was left out."""

    kind: ClassVar[str] = "table"
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    more: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph."""

    kind: ClassVar[str] = "note"
    text: str


Block: TypeAlias = Facts | Table | Note


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of the annex."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """What the bundle says besides the statement: digest of the payload, id of the signing key."""

    statement_sha256: str
    key_id: str
    bench_key_id: str
    token: str


def annex(statement: Statement, signed: Signed) -> tuple[Section, ...]:
    """All sections, in the order an engineer asks."""
    said = statement.predicate
    return (
        _result(said),
        _plan(said),
        _passes(said),
        _verification(said),
        _drive(said),
        _sessions(said),
        _circumstances(said),
        _proof(statement, signed),
        _limits(said),
        _nist(said),
    )


def fact(label: str, text: str, style: Style = "plain", limit: int = 4000) -> Fact:
    """A fact in safe text; an empty one is said to be not stated."""
    if not text:
        return Fact(label, words.NOT_STATED, "absent")
    return Fact(label, words.shown(text, limit), style)


def pattern_words(step: Pass) -> str:
    """What a pass writes, in words with the bytes."""
    if step.pattern is None:
        return "told the drive that nothing is needed (deallocate)"
    if step.pattern.kind == "keyed":
        return Keyed().name
    unit = bytes.fromhex(step.pattern.unit or "")
    named = {b"\x00": "zeros (bytes 00)", b"\xff": "ones (bytes ff)"}
    return named.get(unit) or (Repeat(unit).name if 1 <= len(unit) <= 512 else "bytes not stated")


def profile_words(profile: Profile | None) -> str:
    """How much was to be read back."""
    if profile is None:
        return "none planned"
    if profile.kind == "full":
        return "every addressable byte"
    if profile.kind == "nist-r1-10pct":
        return "sample of 10 %: 1,000 strata, two places of 5 % in each, and both ends"
    confidence = f"{(profile.confidence_ppm or 0) / 10_000:g}"
    residue = f"{(profile.residue_ppm or 0) / 10_000:g}"
    return (
        f"sample that finds residue in {residue} % of all 1 MiB units with {confidence} % "
        "confidence, and both ends"
    )


def reason_rows(reasons: Iterable[Reason]) -> tuple[tuple[str, ...], ...]:
    """Code, effect, words with detail, and what to do next."""
    rows = []
    for one in reasons:
        known = CATALOGUE.get(one.code)
        detail = f" [{words.shown(one.detail)}]" if one.detail else ""
        rows.append(
            (
                one.code,
                one.effect.value,
                words.sentence(text_of(one.code)) + detail,
                words.sentence(known.next_step) if known else DASH,
            )
        )
    return tuple(rows)


def _cut(
    columns: tuple[Column, ...], rows: Sequence[tuple[str, ...]], most: int = ROWS_MAX
) -> Table:
    left = len(rows) - most
    more = f"{words.counted(left, 'more row')} in the signed record." if left > 0 else ""
    return Table(columns, tuple(rows[:most]), more)


def _yes(value: bool) -> str:  # noqa: FBT001 - a value, told in a word
    return "yes" if value else "no"


def _result(said: Predicate) -> Section:
    attempt = said.attempt
    columns = (
        Column("Code", 3, mono=True),
        Column("Effect", 1),
        Column("Meaning", 5),
        Column("What to do", 3),
    )
    found = reason_rows((*said.reasons, *said.exceptions))
    blocks: list[Block] = [
        Facts(
            (
                Fact("Result", said.result.value, "mono"),
                fact("Record id", said.id, "mono"),
                fact("Job", attempt.job_id, "mono"),
                Fact("Attempt at this drive", str(attempt.number)),
                fact("Earlier records", ", ".join(attempt.previous) or "none known"),
                Fact("The job ended", words.JOB_ENDS[attempt.end]),
            )
        )
    ]
    if found:
        blocks.append(_cut(columns, found))
    else:
        blocks.append(Note("Nothing was found that speaks against the result."))
    return Section("Result and reasons", tuple(blocks))


def _plan(said: Predicate) -> Section:
    done = said.sanitization
    facts = Facts(
        (
            Fact("Method required", words.METHODS[done.method.required]),
            Fact("Method the technique reaches", words.METHODS[done.method.attempted]),
            Fact(
                "Method claimed",
                words.METHODS[done.method.claimed] if done.method.claimed else "none",
            ),
            Fact("Technique", f"{words.TECHNIQUES[done.technique]}: {done.technique.value}"),
            fact("Passes by scheme", done.scheme, "mono"),
            fact("Policy", done.policy.id, "mono"),
            fact("Policy, SHA-256", done.policy.sha256, "mono"),
            fact("Plan as approved, SHA-256", done.plan_sha256, "mono"),
            Fact("Two-person approval", _yes(done.two_person_approval)),
        )
    )
    columns = (Column("Technique not chosen", 4, mono=True), Column("Why", 8))
    rows = [
        (
            one.technique.value,
            words.sentence(text_of(one.code))
            + f" ({one.code}{': ' + words.shown(one.detail) if one.detail else ''})",
        )
        for one in done.not_chosen
    ]
    return Section("Plan and technique", (facts, _cut(columns, rows)) if rows else (facts,))


def _passes(said: Predicate) -> Section:
    units = {unit.unit_id: unit.size_bytes for unit in said.media.units}
    several = len(units) > 1
    columns = (
        Column("Step", 2, right=True),
        Column("Unit", 3),
        Column("What it writes", 8),
        Column("Outcome", 5),
        Column("Bytes written and flushed", 8, right=True),
        Column("Began (UTC)", 7),
        Column("Took", 4),
    )
    rows = []
    for one in said.sanitization.passes:
        size = units.get(one.unit_id, 0)
        purpose = "" if one.purpose is StepPurpose.METHOD else ", for the final state"
        outcome = words.OUTCOMES[one.outcome] if one.outcome else "no outcome"
        codes = f": {words.shown(', '.join(one.codes))}" if one.codes else ""
        rows.append(
            (
                str(one.step),
                words.shown(one.unit_id, 24),
                pattern_words(one) + purpose,
                outcome + codes,
                f"{one.flushed_bytes:,}" + (" (all)" if one.flushed_bytes == size else ""),
                words.when(one.started_at).removesuffix(" UTC") if one.started_at else DASH,
                words.duration(one.started_at, one.ended_at) or DASH,
            )
        )
    blocks: list[Block] = [_cut(columns, rows)]
    if several:
        blocks.append(Note("Each unit of the drive is written on its own."))
    for one in said.sanitization.passes[:DETAILS_MAX]:
        if one.written_after_retry or one.unwritable.count or one.unwritable.first:
            blocks.append(
                Facts(
                    (
                        Fact(f"Step {one.step}: unwritable", _sectors(one.unwritable)),
                        Fact(
                            f"Step {one.step}: written after retry",
                            words.counted(one.written_after_retry, "sector"),
                        ),
                    )
                )
            )
    return Section("Passes as planned and as they ended", tuple(blocks))


def _sectors(sectors: Sectors) -> str:
    if not sectors.count and not sectors.first:
        return "none"
    listed = ", ".join(str(lba) for lba in sectors.first[:ROWS_MAX])
    rest = " …" if sectors.count > len(sectors.first[:ROWS_MAX]) else ""
    told = words.counted(sectors.count, "sector")
    return f"{told}; LBA {listed}{rest}" if listed else told


def _verification(said: Predicate) -> Section:
    blocks: list[Block] = []
    for one in said.verification[:DETAILS_MAX]:
        blocks.extend(_one_verification(one))
    if len(said.verification) > DETAILS_MAX:
        left = len(said.verification) - DETAILS_MAX
        blocks.append(Note(f"{words.counted(left, 'more verification')} in the signed record."))
    if not blocks:
        blocks.append(Note("No verification was planned, and none took place."))
    return Section("Verification", tuple(blocks))


def _one_verification(one: Verification) -> Iterable[Block]:
    what = words.shown(f"step {one.step}, unit {one.unit_id}", 80)
    if one.result is None:
        yield Facts(
            (
                Fact("Of", what),
                Fact("Planned", profile_words(one.planned)),
                Fact("Took place", "no"),
            )
        )
        return
    result = one.result
    rows = [
        Fact("Of", what),
        Fact("Planned", profile_words(one.planned)),
        Fact("Done", profile_words(result.profile)),
        fact("Seed", result.seed or "none: every byte was read", "mono" if result.seed else "plain"),
        Fact("Seed drawn", words.when(result.drawn_at)),
        fact("Extents, SHA-256", result.extents_sha256, "mono"),
        Fact("To be read", words.both(result.planned_bytes)),
        Fact("Read", words.both(result.read_bytes)),
        fact("How the medium was read", result.reads),
        Fact("Sectors that differ", f"{result.mismatched:,}"),
        Fact("Unreadable", _sectors(result.unreadable)),
        Fact("Cured by rewriting", words.counted(result.cured_by_rewriting, "sector")),
        Fact("Ended", words.when(result.ended_at)),
        *_bounds(result),
    ]
    yield Facts(tuple(rows))
    if result.mismatches:
        columns = (
            Column("LBA", 2, right=True),
            Column("First byte", 1, right=True),
            Column("Looks like", 2),
            Column("Keyed digest of the sector", 7, mono=True),
        )
        yield _cut(
            columns,
            [
                (
                    f"{sector.lba:,}",
                    f"{sector.first_byte:,}",
                    words.CONTENTS[sector.content],
                    words.shown(sector.keyed_digest, 64),
                )
                for sector in result.mismatches
            ],
        )
        if result.mismatched > len(result.mismatches):
            yield Note(
                f"The first {len(result.mismatches):,} of {result.mismatched:,} that differ."
            )


def _bounds(result: VerificationResult) -> tuple[Fact, ...]:
    bounds = result.bounds
    if bounds is None:
        return (Fact("Bound on what was missed", "none: reading was not finished"),)
    drawn = f"{bounds.samples:,} of {words.both(bounds.sample_bytes)} each"
    chance = f"missed with at most {bounds.miss_probability_percent} %"
    return (
        Fact("Places drawn", "all" if result.profile.kind == "full" else drawn),
        Fact(f"Scattered, {chance}", words.both(bounds.scattered_bytes, upwards=True)),
        Fact(f"In one piece, {chance}", words.both(bounds.contiguous_bytes, upwards=True)),
    )


def _drive(said: Predicate) -> Section:
    media = said.media
    rows = [
        *_raw("Maker", media.manufacturer, media.manufacturer_hex),
        *_raw("Model", media.model, media.model_hex),
        *_raw("Serial number", media.serial, media.serial_hex),
        *_raw("Firmware", media.firmware, media.firmware_hex),
        fact("Serial number on the label", media.label_serial, "mono"),
        fact("Asset tag", media.asset_tag, "mono"),
        fact("WWN", media.wwn, "mono"),
        fact("EUI-64", media.eui64, "mono"),
        fact("NGUID", media.nguid, "mono"),
        fact("Identity key", media.identity_key, "mono"),
        fact("Identify data, SHA-256", media.identify_sha256, "mono"),
        fact("Identify data from", media.identify_source),
        Fact(
            "Medium",
            f"{words.MEDIA[media.media_type]} (learned from {words.shown(media.media_type_source)})",
        ),
        Fact("Attached by", words.TRANSPORTS[media.transport]),
        Fact("Removable", _yes(media.removable)),
        Fact("Capacity", words.both(media.size_bytes)),
        fact("Areas the standard leaves out", ", ".join(media.excluded_areas) or "none"),
    ]
    units = _cut(
        (
            Column("Unit", 2),
            Column("Size", 4, right=True),
            Column("Logical blocks", 3, right=True),
            Column("Logical / physical sector", 3, right=True),
        ),
        [
            (
                words.shown(unit.unit_id),
                words.exact(unit.size_bytes),
                f"{unit.logical_blocks:,}",
                f"{unit.logical_sector_bytes:,} / {unit.physical_sector_bytes:,} bytes",
            )
            for unit in media.units
        ],
    )
    hidden = _cut(
        (
            Column("Hidden area", 3),
            Column("State", 2),
            Column("Hidden", 4, right=True),
            Column("Learned from", 3),
        ),
        [
            (
                words.shown(area.name),
                words.HIDDEN_STATES[area.state],
                words.exact(area.hidden_bytes),
                words.shown(area.source),
            )
            for area in media.hidden_areas
        ],
    )
    blocks: tuple[Block, ...] = (Facts(tuple(rows)), units)
    blocks += (
        (hidden,) if hidden.rows else (Note("Whether areas are hidden from the host: not asked."),)
    )
    return Section("The drive in full", (*blocks, _health(media.health_before, media.health_after)))


def _raw(label: str, text: str, hex_digits: str) -> tuple[Fact, ...]:
    """A string of the drive; where the printed form is not the whole, its bytes as well."""
    if not hex_digits:
        return (fact(label, text, "mono"),)
    raw = bytes.fromhex(hex_digits)
    if raw == text.encode():
        return (fact(label, text, "mono"),)
    cut = f" … ({len(raw)} bytes)" if len(hex_digits) > RAW_HEX_SHOWN else ""
    return (
        fact(label, show(raw.decode("ascii", "surrogateescape"), 4 * len(raw)), "mono"),
        Fact(f"{label}, as bytes", hex_digits[:RAW_HEX_SHOWN] + cut, "mono"),
    )


def _health(before: Health, after: Health | None) -> Table:
    def told(value: int | None) -> str:
        return DASH if value is None else f"{value:,}"

    rows = (
        ("Reallocated sectors", before.reallocated_sectors, after and after.reallocated_sectors),
        ("Pending sectors", before.pending_sectors, after and after.pending_sectors),
        ("Media errors", before.media_errors, after and after.media_errors),
        ("Wear (percentage used)", before.percentage_used, after and after.percentage_used),
        ("Temperature (°C)", before.temperature_celsius, after and after.temperature_celsius),
        ("Power-on hours", before.power_on_hours, after and after.power_on_hours),
    )
    return Table(
        (Column("Health", 6), Column("Before", 3, right=True), Column("After", 3, right=True)),
        tuple((name, told(first), told(last)) for name, first, last in rows),
        "" if after else "The drive could not be asked at the end.",
    )


def _sessions(said: Predicate) -> Section:
    columns = (
        Column("Began (UTC)", 2),
        Column("Ended (UTC)", 2),
        Column("How it ended", 2),
        Column("How it began", 3),
        Column("Bay", 1),
        Column("Nodes", 2),
    )
    rows = [
        (
            words.when(one.started_at).removesuffix(" UTC"),
            words.when(one.ended_at).removesuffix(" UTC"),
            words.SESSION_ENDS[one.end],
            _beginning(one),
            words.shown(one.bay, 40) or DASH,
            words.shown(", ".join(one.nodes), 120) or DASH,
        )
        for one in said.sessions
    ]
    if not rows:
        return Section("Sessions", (Note("No work on the drive was recorded."),))
    paths = {
        (one.boot_id, one.device_path, one.hba): None for one in said.sessions[:ROWS_MAX]
    }
    facts = [
        item
        for boot, path, hba in list(paths)[:DETAILS_MAX]
        for item in (
            fact("Device path", path, "mono"),
            fact("Adapter, boot", f"{hba}, {boot}", "mono"),
        )
    ]
    return Section("Sessions", (_cut(columns, rows), Facts(tuple(facts))))


def _beginning(one: Session) -> str:
    parts = ["after an absence of the drive" if one.after_absence else ""]
    parts.append("resumed" if one.resumed else "")
    parts.append("started again from zero" if one.restarted_from_zero else "")
    if back := one.read_back:
        last = "with" if back.last_flushed_included else "without"
        parts.append(
            f"{back.matched:,} of {words.counted(back.blocks, 'block')} read back matched, "
            f"{last} the last flushed"
        )
    return "; ".join(part for part in parts if part) or "from the start"


def _circumstances(said: Predicate) -> Section:
    place = said.environment
    clock, build = place.clock, place.build
    people = _cut(
        (Column("Role", 4), Column("Person", 4, mono=True), Column("Title", 4)),
        [
            (words.shown(one.role), words.shown(one.id), words.shown(one.title) or DASH)
            for one in said.people
        ],
    )
    facts = Facts(
        (
            fact("Station", place.station),
            fact("Bay", place.bay),
            Fact("Began", words.when(said.attempt.started_at)),
            Fact("Ended", words.when(said.attempt.ended_at)),
            fact("Took", words.duration(said.attempt.started_at, said.attempt.ended_at)),
            Fact("Signed by the bench", words.when(clock.bench_signed_at)),
            Fact("Signed by the station", words.when(clock.issued_at)),
            fact("Clock during the work", ", ".join(one.value for one in clock.sync)),
            Fact("Clock at signing", clock.issued_sync.value),
            fact("Boots", ", ".join(clock.boot_ids[:DETAILS_MAX]), "mono"),
            fact("nullbay", f"{build.version}, on {build.kernel}, Python {build.python}"),
            fact("nullbay's files, SHA-256", build.sha256, "mono"),
        )
    )
    nobody = Note("No person is named in this record.")
    return Section("Time, place and people", (facts, people if people.rows else nobody))


def _proof(statement: Statement, signed: Signed) -> Section:
    said = statement.predicate
    key = said.pattern_key
    rows = [
        Fact("Statement, SHA-256", signed.statement_sha256, "mono"),
        fact("Station key", said.environment.station_key_name, "mono"),
        fact("Station key id", signed.key_id, "mono"),
        fact("Station key kept in", said.environment.key_protection),
        Fact("Bench key id", signed.bench_key_id, "mono"),
        Fact("Place in the station's ledger", f"entry {said.chain.sequence:,}"),
        fact("Entry before it", said.chain.previous, "mono"),
        Fact(
            "Commands exchanged with the drive",
            f"{said.exchanges.count:,}",
        ),
        fact("Their digest", said.exchanges.sha256, "mono"),
        *(
            Fact(f"Subject {words.shown(one.name, 120)}", one.digest.sha256, "mono")
            for one in statement.subject
        ),
        Fact("Text in the QR code", signed.token, "mono"),
    ]
    if key is not None:
        kept = "in the evidence archive" if key.in_evidence else "not in the evidence archive"
        rows += [
            fact("Pattern key", f"drawn by the {key.drawn_by}, {kept}"),
            fact("Pattern key, commitment", key.commitment_sha256, "mono"),
        ]
    return Section("Signatures and chain", (Facts(tuple(rows)),))


def _limits(said: Predicate) -> Section:
    rows = [(code, words.sentence(text_of(code))) for code in said.limitations]
    if not rows:
        return Section("What this record cannot show", (Note("No limitation is stated."),))
    return Section(
        "What this record cannot show",
        (_cut((Column("Code", 4, mono=True), Column("In words", 8)), rows),),
    )


def _nist(said: Predicate) -> Section:
    media, done, lot = said.media, said.sanitization, said.lot
    verified = {profile_words(one.planned) for one in said.verification} or {"none planned"}
    confidentiality = words.CATEGORIES[lot.data_category] if lot and lot.data_category else ""
    destination = said.destination or (
        words.DESTINATIONS[lot.destination] if lot and lot.destination else ""
    )
    people = ", ".join(f"{one.role} {one.id}" for one in said.people)
    claimed = done.method.claimed
    rows = (
        ("Manufacturer", media.manufacturer),
        ("Model", media.model),
        ("Serial number", media.serial),
        ("Property number", media.asset_tag),
        ("Media type", words.MEDIA[media.media_type]),
        ("Media source", lot.source if lot else ""),
        ("Confidentiality before", confidentiality),
        ("Sanitization method", words.METHODS[claimed] if claimed else "none reached"),
        ("Sanitization technique", words.TECHNIQUES[done.technique]),
        ("Tool and version", f"nullbay {said.environment.build.version}"),
        ("Verification (4.5.1)", "; ".join(sorted(verified))),
        ("Result of verification", said.result.value),
        ("Sanitized by", people),
        ("When, where", f"{words.when(said.attempt.ended_at)}, {said.environment.station}"),
        ("Destination", destination),
        ("Validation (4.5.2)", "by a person, on page 1"),
    )
    columns = (Column("Certificate field (SP 800-88r2 4.6)", 4), Column("In this record", 8))
    return Section(
        "Fields of NIST SP 800-88 Rev. 2",
        (
            Table(
                columns,
                tuple((name, words.shown(text) or words.NOT_STATED) for name, text in rows),
            ),
        ),
    )
