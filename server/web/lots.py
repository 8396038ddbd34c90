"""Lots as pages and as CSV: what was expected, what came, what became of each drive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nullbay.domain.verdict import Verdict
from nullbay.server.cards import DriveAccount, LineAccount, LineState, LotAccount, LotCard
from nullbay.server.web import words
from nullbay.server.web.fleet import Figure
from nullbay.server.web.words import Moment, Sign

MATCHED = Sign("check", "good", "matched")
FAILED = Sign("cross", "bad", "failed")
MISSING = Sign("question", "bad", "missing")
NOT_DETECTED = Sign("triangle", "bad", "not detected")
REFUSED = Sign("triangle", "bad", "refused")
SURPLUS = Sign("triangle", "warn", "surplus")
UNLISTED = Sign("drive", "none", "no manifest")
COLUMNS = (
    "account",
    "line",
    "serial",
    "label_serial",
    "asset_tag",
    "model",
    "verdict",
    "disposition",
    "station",
    "bay",
    "attempts",
    "signed_at",
    "record_sha256",
)


@dataclass(frozen=True, slots=True)
class Drive:
    """One drive of a lot: how it is accounted for, and what is to be done with it."""

    account: Sign
    line: str
    serial: str
    label_serial: str
    asset_tag: str
    model: str
    verdict: Sign | None
    disposition: str
    station: str
    bay: str
    attempts: int
    signed_at: str
    record: str

    @property
    def href(self) -> str:
        """Its record's page; empty without one."""
        return f"/records/{self.record}" if self.record else ""

    @property
    def place(self) -> str:
        """Station and bay."""
        return ", ".join(filter(None, (self.station, self.bay)))

    def cells(self) -> tuple[str, ...]:
        """As a line of CSV, in the order of COLUMNS."""
        return (
            self.account.words,
            self.line,
            self.serial,
            self.label_serial,
            self.asset_tag,
            self.model,
            self.verdict.value if self.verdict else "",
            self.disposition,
            self.station,
            self.bay,
            str(self.attempts),
            self.signed_at,
            self.record,
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A lot in the list."""

    reference: str
    href: str
    customer: str
    stations: str
    drives: int
    sanitized: int
    excepted: int
    failed: int
    unsure: int
    manifest: str
    last: Moment | None


@dataclass(frozen=True, slots=True)
class Page:
    """A lot reconciled."""

    reference: str
    place: str
    state: Sign
    note: str
    figures: tuple[Figure, ...]
    drives: tuple[Drive, ...]
    records_href: str
    csv_href: str


def path_of(reference: str) -> str:
    """The address of a lot's page."""
    return words.place("/lots", "/lot", "reference", reference)


def csv_path_of(reference: str) -> str:
    """The address of a lot's CSV."""
    if reference.endswith(".csv"):
        return words.address("/lot.csv", reference=reference)
    told = words.place("/v1/lots", "/lot.csv", "reference", reference)
    return told if "?" in told else f"{told}.csv"


def row_of(card: LotCard) -> Row:
    """A line of the list of lots."""
    number = words.number_of
    return Row(
        reference=card.lot,
        href=path_of(card.lot),
        customer=card.customer,
        stations=", ".join(card.stations[:4]) + (" …" if len(card.stations) > 4 else ""),
        drives=card.drives,
        sanitized=number(card.verdicts, Verdict.SANITIZED),
        excepted=number(card.verdicts, Verdict.SANITIZED_WITH_EXCEPTIONS),
        failed=number(card.verdicts, Verdict.NOT_SANITIZED),
        unsure=number(card.verdicts, Verdict.INDETERMINATE),
        manifest="yes" if card.has_manifest else "no",
        last=words.moment(card.last),
    )


def page_of(account: LotAccount, *, may_export: bool) -> Page:
    """A lot's page."""
    card, drives = account.card, tuple(drives_of(account))
    return Page(
        reference=card.lot,
        place=" · ".join(
            filter(None, (card.customer, ", ".join(card.stations[:6]), *_told(account)))
        ),
        state=_state(account),
        note=""
        if card.has_manifest
        else "No manifest came with this lot: nobody can tell what is missing or surplus.",
        figures=_figures(account, drives),
        drives=drives,
        records_href=words.address("/records", lot=card.lot),
        csv_href=csv_path_of(card.lot) if may_export else "",
    )


def drives_of(account: LotAccount) -> Iterator[Drive]:
    """Every line of the manifest in its order, then the drives that no line names."""
    if not account.card.has_manifest:
        for drive in account.drives:
            yield _unlisted(drive, UNLISTED if drive.verdict.is_sanitized else FAILED)
        return
    attempts = {
        record.envelope_sha256: len(drive.records)
        for drive in account.drives
        for record in drive.records
    }
    for line in account.lines:
        yield _listed(line, attempts)
    for drive in account.surplus:
        yield _unlisted(drive, SURPLUS)


def _told(account: LotAccount) -> Iterator[str]:
    """Where the lot is open, and who says what it should hold."""
    if account.open_at:
        yield f"open at {', '.join(account.open_at[:6])}"
    for one in account.manifests[:6]:
        where = f"at {one.station}" if one.station else "here"
        yield f"manifest given {where} by {one.by}, {one.lines} lines"


def _state(account: LotAccount) -> Sign:
    if account.accounted is None:
        return UNLISTED
    if not account.accounted:
        return Sign("cross", "bad", "not accounted for")
    failed = any(not one.verdict.is_sanitized for one in account.drives)
    failed = failed or any(one.state is LineState.REFUSED for one in account.lines)
    return (
        Sign("triangle", "warn", "accounted for, with failures")
        if failed
        else Sign("check", "good", "accounted for")
    )


def _figures(account: LotAccount, drives: tuple[Drive, ...]) -> tuple[Figure, ...]:
    failed = sum(not one.verdict.is_sanitized for one in account.drives)
    told = [Figure(str(account.card.drives), "drives with a record", "drive")]
    if account.card.has_manifest:

        def count(*wanted: Sign) -> int:
            return sum(one.account in wanted for one in drives)

        matched = sum(one.state is LineState.DONE for one in account.lines)
        told = [
            Figure(str(len(account.lines)), "on the manifest", "drive"),
            Figure(str(matched), "matched", "check", "good" if matched else "none"),
            _bad(count(MISSING), "missing", "question"),
            _bad(len(account.surplus), "surplus", "triangle", "warn"),
            _bad(count(NOT_DETECTED), "not detected", "triangle"),
        ]
        if refused := count(REFUSED):
            told.append(_bad(refused, "refused", "triangle"))
    return (*told, _bad(failed, "failed", "cross"))


def _bad(number: int, told: str, sign: str, tone: str = "bad") -> Figure:
    return Figure(str(number), told, sign if number else "", tone if number else "none")


def _listed(one: LineAccount, attempts: dict[str, int]) -> Drive:
    record, line = one.record, one.line
    if one.state is LineState.MISSING:
        account, disposition = MISSING, "never seen by a station: look for it"
    elif one.state is LineState.NOT_DETECTED:
        account, disposition = NOT_DETECTED, "scanned, never answered: destroy"
    elif one.state is LineState.REFUSED:
        why = ", ".join(one.refusals)
        account, disposition = REFUSED, f"came, and was not worked on: {why}"
    else:
        account, disposition = MATCHED, ""
    if record is not None:
        disposition = words.DISPOSITIONS[record.verdict]
        if not record.verdict.is_sanitized:
            account = FAILED
    return Drive(
        account=account,
        line=str(line.line),
        serial=line.serial or (record.serial if record else ""),
        label_serial=record.label_serial if record else "",
        asset_tag=line.asset_tag or (record.asset_tag if record else ""),
        model=record.model if record else line.model,
        verdict=words.VERDICTS[record.verdict] if record else None,
        disposition=disposition,
        station=record.station if record else "",
        bay=record.bay if record else "",
        attempts=attempts.get(record.envelope_sha256, 1) if record else 0,
        signed_at=record.issued_at if record else "",
        record=record.envelope_sha256 if record else "",
    )


def _unlisted(drive: DriveAccount, account: Sign) -> Drive:
    record = drive.records[0] if drive.records else None
    return Drive(
        account=account,
        line="",
        serial=drive.serial,
        label_serial=drive.label_serial,
        asset_tag=drive.asset_tag,
        model=drive.model,
        verdict=words.VERDICTS[drive.verdict],
        disposition=words.DISPOSITIONS[drive.verdict],
        station=record.station if record else "",
        bay=record.bay if record else "",
        attempts=len(drive.records),
        signed_at=record.issued_at if record else "",
        record=record.envelope_sha256 if record else "",
    )
