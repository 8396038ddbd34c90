"""The annex's account of the work itself: passes, verification, sessions."""

from __future__ import annotations

from collections.abc import Iterable

from nullbay.certs import pdf_words as words
from nullbay.certs.pdf_blocks import (
    DASH,
    DETAILS_MAX,
    ROWS_MAX,
    Block,
    Column,
    Fact,
    Facts,
    Note,
    Section,
    fact,
    listed,
    table,
)
from nullbay.certs.predicate import (
    Pass,
    Predicate,
    Profile,
    Sectors,
    Session,
    Verification,
    VerificationResult,
)
from nullbay.domain.patterns import Keyed, Repeat
from nullbay.domain.plan import StepPurpose


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


def passes(said: Predicate) -> Section:
    """Every step as planned, how it ended, and where it could not write."""
    units = {unit.unit_id: unit.size_bytes for unit in said.media.units}
    several = len(units) > 1
    columns = (
        Column("Step", 2, right=True),
        Column("Unit", 3),
        Column("What it writes", 9),
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
        rows.append(
            (
                str(one.step),
                words.shown(one.unit_id, 24),
                pattern_words(one) + purpose,
                outcome,
                f"{one.flushed_bytes:,}" + (" (all)" if one.flushed_bytes == size else ""),
                words.when(one.started_at).removesuffix(" UTC") if one.started_at else DASH,
                words.duration(one.started_at, one.ended_at) or DASH,
            )
        )
    blocks: list[Block] = [table(columns, rows)]
    if several:
        blocks.append(Note("Each unit of the drive is written on its own."))
    troubled = [
        one
        for one in said.sanitization.passes
        if one.codes or one.written_after_retry or one.unwritable.count or one.unwritable.first
    ]
    blocks.extend(_trouble(one) for one in troubled[:DETAILS_MAX])
    return Section("Passes as planned and as they ended", tuple(blocks))


def _trouble(one: Pass) -> Facts:
    retried = words.counted(one.written_after_retry, "sector")
    return Facts(
        (
            Fact(f"Step {one.step}: codes", words.shown(listed(one.codes)) or "none"),
            Fact(f"Step {one.step}: unwritable", _sectors(one.unwritable)),
            Fact(f"Step {one.step}: written after retry", retried),
        )
    )


def _sectors(sectors: Sectors) -> str:
    if not sectors.count and not sectors.first:
        return "none"
    listed = ", ".join(str(lba) for lba in sectors.first[:ROWS_MAX])
    rest = " …" if sectors.count > len(sectors.first[:ROWS_MAX]) else ""
    told = words.counted(sectors.count, "sector")
    return f"{told}; LBA {listed}{rest}" if listed else told


def verification(said: Predicate) -> Section:
    """Every reading back: what, how much, from which seed, and what it found."""
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
        fact(
            "Seed", result.seed or "none: every byte was read", "mono" if result.seed else "plain"
        ),
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
            Column("LBA", 7, right=True),
            Column("First byte", 4, right=True),
            Column("Looks like", 9),
            Column("Keyed digest of the sector", 22, mono=True),
        )
        yield table(
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
            DETAILS_MAX,
        )
        listed = min(len(result.mismatches), DETAILS_MAX)
        if result.mismatched > listed:
            yield Note(f"The first {listed:,} of {result.mismatched:,} that differ.")


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


def sessions(said: Predicate) -> Section:
    """Every stretch of work on the attached drive, with absences and resumptions."""
    columns = (
        Column("Began (UTC)", 7),
        Column("Ended (UTC)", 7),
        Column("How it began", 9),
        Column("How it ended", 7),
        Column("Bay", 3),
        Column("Nodes", 4),
    )
    rows = [
        (
            words.when(one.started_at).removesuffix(" UTC"),
            words.when(one.ended_at).removesuffix(" UTC"),
            _beginning(one),
            words.SESSION_ENDS[one.end],
            words.shown(one.bay, 40) or DASH,
            words.shown(", ".join(one.nodes), 120) or DASH,
        )
        for one in said.sessions
    ]
    if not rows:
        return Section("Sessions", (Note("No work on the drive was recorded."),))
    paths = {(one.boot_id, one.device_path, one.hba): None for one in said.sessions[:ROWS_MAX]}
    facts = [
        item
        for boot, path, hba in list(paths)[:DETAILS_MAX]
        for item in (
            fact("Device path", path, "mono"),
            fact("Adapter, boot", f"{hba}, {boot}", "mono"),
        )
    ]
    return Section("Sessions", (table(columns, rows), Facts(tuple(facts))))


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
