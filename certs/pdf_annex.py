"""The annex of the printed record, for the engineer: what page 1 is too small for.

All of it from the signed statement. Long lists stop at a stated number of rows and say how many
more the signed record holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nullbay.certs import pdf_words as words
from nullbay.certs.pdf_annex_work import passes, profile_words, sessions, verification
from nullbay.certs.pdf_blocks import (
    DASH,
    Block,
    Column,
    Fact,
    Facts,
    Note,
    Section,
    Table,
    fact,
    listed,
    table,
)
from nullbay.certs.predicate import (
    Health,
    Predicate,
    Reason,
    Statement,
)
from nullbay.domain.reasons import CATALOGUE, text_of
from nullbay.domain.text import show

RAW_HEX_SHOWN = 512


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
        passes(said),
        verification(said),
        _drive(said),
        sessions(said),
        _circumstances(said),
        _proof(statement, signed),
        _limits(said),
        _nist(said),
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


def _yes(value: bool) -> str:  # noqa: FBT001 - a value, told in a word
    return "yes" if value else "no"


def _result(said: Predicate) -> Section:
    attempt = said.attempt
    columns = (
        Column("Code", 8, mono=True),
        Column("Effect", 4),
        Column("Meaning", 14),
        Column("What to do", 9),
    )
    found = reason_rows((*said.reasons, *said.exceptions))
    blocks: list[Block] = [
        Facts(
            (
                Fact("Result", said.result.value, "mono"),
                fact("Record id", said.id, "mono"),
                fact("Job", attempt.job_id, "mono"),
                Fact("Attempt at this drive", str(attempt.number)),
                fact("Earlier records", listed(attempt.previous) or "none known", "mono"),
                Fact("The job ended", words.JOB_ENDS[attempt.end]),
            )
        )
    ]
    if found:
        blocks.append(table(columns, found))
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
    return Section("Plan and technique", (facts, table(columns, rows)) if rows else (facts,))


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
            f"{words.MEDIA[media.media_type]}, learned from {words.shown(media.media_type_source)}",
        ),
        Fact("Attached by", words.TRANSPORTS[media.transport]),
        Fact("Removable", _yes(media.removable)),
        Fact("Capacity", words.both(media.size_bytes)),
        fact("Areas the standard leaves out", listed(media.excluded_areas) or "none"),
    ]
    units = table(
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
    hidden = table(
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
    def told(moment: Health | None, name: str) -> str:
        value = getattr(moment, name) if moment else None
        return DASH if value is None else f"{value:,}"

    rows = (
        ("Reallocated sectors", "reallocated_sectors"),
        ("Pending sectors", "pending_sectors"),
        ("Media errors", "media_errors"),
        ("Wear (percentage used)", "percentage_used"),
        ("Temperature (°C)", "temperature_celsius"),
        ("Power-on hours", "power_on_hours"),
    )
    return Table(
        (Column("Health", 6), Column("Before", 3, right=True), Column("After", 3, right=True)),
        tuple((title, told(before, name), told(after, name)) for title, name in rows),
        "" if after else "The drive could not be asked at the end.",
    )


def _circumstances(said: Predicate) -> Section:
    place = said.environment
    clock, build = place.clock, place.build
    people = table(
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
            fact("Boots", listed(clock.boot_ids), "mono"),
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
        (table((Column("Code", 4, mono=True), Column("In words", 8)), rows),),
    )


def _nist(said: Predicate) -> Section:
    media, done, lot = said.media, said.sanitization, said.lot
    verified = {profile_words(one.planned) for one in said.verification} or {"none planned"}
    confidentiality = words.CATEGORIES[lot.data_category] if lot and lot.data_category else ""
    destination = said.destination or (
        words.DESTINATIONS[lot.destination] if lot and lot.destination else ""
    )
    people = listed([f"{one.role} {one.id}" for one in said.people], 3)
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
