"""Checking what a station delivers, before anything of it is kept: pure, nothing is believed.

Every refusal has a stable code. Codes that are findings too (`findings.CATALOGUE`) leave a digest
behind; the others (something has to come first, no room) are everyday life.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

from nullbay.certs import bundle, delivery, dsse, ledger, lot_document, verify
from nullbay.certs.keys import DEMO_PREFIX, PublicKey, read_public_keys
from nullbay.certs.lot_document import LotDocument
from nullbay.certs.predicate import Predicate
from nullbay.certs.strictjson import read_json
from nullbay.config.server_settings import StationEntry
from nullbay.domain.canonical import canonical_json
from nullbay.domain.clock import Stamp
from nullbay.domain.codec import from_plain
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.status import StationStatus
from nullbay.domain.text import show
from nullbay.server.db.intake import RecordRow
from nullbay.server.db.tables import SEQUENCE_MAX
from nullbay.server.evidence import WrongDigestError

STATUS_MAX_BYTES = 2 * 1024 * 1024
BAYS_MAX = 2000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BOOT_ID = re.compile(r"[!-~]{1,64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class RefusedError(NullbayError):
    """Not taken. `code` is stable; a station does not send it again."""

    code = "record.refused"

    def __init__(self, code: str, message: str, *, subject: str = "", next_step: str = "") -> None:
        """`subject` is the job or entry that a finding names."""
        super().__init__(message, next_step=next_step, code=code)
        self.subject = subject


class ForkError(RefusedError):
    """Another entry in a place that already has one."""


class NotYetError(NullbayError):
    """Something else has to come first: evidence.missing, ledger.missing."""

    code = "ledger.missing"


class GapError(NullbayError):
    """Entry `wanted` has to come first."""

    code = "ledger.gap"

    def __init__(self, wanted: int) -> None:
        """`wanted` is the number of the entry that comes next here."""
        super().__init__(
            f"entry {wanted} of this ledger is wanted first",
            next_step="Deliver the entries in order, beginning with that one",
        )
        self.wanted = wanted


@dataclass(frozen=True, slots=True)
class KnownStation:
    """A station of the settings with its keys read, those of the past among them."""

    name: str
    url: str
    station_keys: tuple[PublicKey, ...]
    bench_keys: tuple[PublicKey, ...]
    token_sha256: str
    expires: date | None

    @classmethod
    def of(cls, entry: StationEntry) -> KnownStation:
        """Raises MalformedError for keys that are none, or one key for both purposes."""
        try:
            stations = read_public_keys(entry.station_keys)
            benches = read_public_keys(entry.bench_keys)
        except MalformedError as error:
            raise MalformedError(f"the keys of station {show(entry.station)}: {error}") from None
        if {one.key_id for one in stations} & {one.key_id for one in benches}:
            raise MalformedError(
                f"station {show(entry.station)} and its bench have one and the same key",
                next_step="Give `station_key` and `bench_key` different files",
            )
        return cls(entry.station, entry.url, stations, benches, entry.token_sha256, entry.expires)


def check_entry(
    data: bytes, sha256: str, station: KnownStation, *, accept_simulated: bool
) -> tuple[ledger.LedgerEntry, ledger.LedgerBody]:
    """A delivered entry that is well formed, this station's, and signed where it has to be.

    Its place in the chain is for the database to say. Raises RefusedError, MalformedError.
    """
    named, entry = delivery.decode_entry(data)
    if entry.sha256 != sha256:
        raise WrongDigestError("the entry is not the one that its address names")
    _require_station(named, station)
    if entry.sequence > SEQUENCE_MAX:
        raise MalformedError("an entry number beyond 2**63")
    body = ledger.read_body(entry.body)
    _require_moment(body.at)
    before = ledger.Head(entry.sequence - 1, entry.previous)
    try:
        ledger.check_chain([entry], station.station_keys, after=before)
    except ledger.LedgerBrokenError as error:
        raise RefusedError("ledger.broken", str(error), subject=str(entry.sequence)) from None
    if entry.sequence == 1 and entry.previous != ledger.GENESIS:
        why = "ledger entry 1: something comes before it"
        raise RefusedError("ledger.broken", why, subject="1")
    event = body.event
    if isinstance(event, ledger.JobStarted) and event.simulated and not accept_simulated:
        raise _simulated(event.job_id)
    return entry, body


def check_record(
    data: bytes, envelope_sha256: str, station: KnownStation, *, accept_simulated: bool
) -> RecordRow:
    """A bundle that a stranger with this station's keys would call authentic, drawn into columns.

    Success proves signature, transcript and verdict; archive and ledger are for the caller to
    compare. Raises RefusedError, WrongDigestError, MalformedError.
    """
    file = bundle.read(data)
    if _envelope_sha256(file) != envelope_sha256:
        raise WrongDigestError("the record is not the one that its address names")
    try:
        checked = verify.verify(data, (*station.station_keys, *station.bench_keys))
    except verify.NotAuthenticError as error:
        raise _not_authentic(f"{error.code}: {error}") from None
    said = checked.statement.predicate
    # Together the keys are one list for `verify`: each must have signed its own part.
    if checked.station_key.key_id not in {one.key_id for one in station.station_keys}:
        raise _not_authentic("a bench key signed where the station's belongs", said)
    bench = PublicKey.from_der(dsse.base64_bytes(said.bench_key.spki, 512, "the bench key"))
    if bench.key_id not in {one.key_id for one in station.bench_keys}:
        raise _not_authentic("a station key signed where the bench's belongs", said)
    _require_station(said.environment.station, station, said.attempt.job_id)
    by_demo = (said.environment.station_key_name, checked.station_key.name)
    is_simulated = said.simulated or any(name.startswith(DEMO_PREFIX) for name in by_demo)
    if is_simulated and not accept_simulated:
        raise _simulated(said.attempt.job_id)
    if said.chain.sequence > SEQUENCE_MAX:
        raise MalformedError("an entry number beyond 2**63")
    _moment(said.environment.clock.issued_at)
    archive = checked.statement.subject[0].digest.sha256
    statement = hashlib.sha256(file.envelope.payload).hexdigest()
    return _row(said, data, envelope_sha256, statement, archive, is_simulated=is_simulated)


def check_document(data: bytes, station: KnownStation) -> LotDocument:
    """A lot's document that is well formed and of this station; its ledger has yet to name it.

    Raises RefusedError, MalformedError.
    """
    document = lot_document.read(data)
    _require_station(document.station, station)
    _require_moment(document.event.at)
    return document


def check_status(data: bytes, station: str, *, accept_simulated: bool) -> StationStatus:
    """A status that is well formed, safe to show, and of this station.

    Raises RefusedError, MalformedError (TooLargeError, UnknownSchemaError).
    """
    plain = read_json(data, STATUS_MAX_BYTES, "the status")
    status = cast("StationStatus", from_plain(StationStatus, plain))
    if _has_controls(plain):
        raise MalformedError("the status holds control characters")
    if status.station != station:
        raise RefusedError("station.other", f"the status is of station {show(status.station)!r}")
    if status.simulated and not accept_simulated:
        raise _simulated("")
    if status.head_sequence > SEQUENCE_MAX or not _SHA256.fullmatch(status.head_sha256):
        raise MalformedError("the status names a head that is none")
    for at in (status.at, status.last_delivery, *(bay.since for bay in status.bays)):
        if at is not None:
            _require_moment(at)
    if len(status.bays) > BAYS_MAX:
        raise MalformedError(f"the status has more than {BAYS_MAX} bays")
    return status


def _require_moment(given: Stamp) -> None:
    """A moment that can be compared and kept. Raises MalformedError."""
    _moment(given.at)
    if given.boottime_us < 0 or not _BOOT_ID.fullmatch(given.boot_id):
        raise MalformedError("a moment whose boot is none")


def _moment(text: str) -> None:
    try:
        fits = _TIME.fullmatch(text) and datetime.fromisoformat(text).year > 1
    except ValueError:
        fits = False
    if not fits:
        raise MalformedError(f"{show(text)!r} is no moment: RFC 3339, UTC, microseconds")


def _has_controls(plain: Any) -> bool:
    match plain:
        case str():
            return _UNSAFE.search(plain) is not None
        case list():
            return any(map(_has_controls, plain))
        case dict():
            return any(map(_has_controls, plain.values()))
        case _:
            return False


def _row(
    said: Predicate,
    data: bytes,
    envelope_sha256: str,
    statement_sha256: str,
    archive_sha256: str,
    *,
    is_simulated: bool,
) -> RecordRow:
    claimed = said.sanitization.method.claimed
    return RecordRow(
        envelope_sha256=envelope_sha256,
        job=said.attempt.job_id,
        verdict=said.result.value,
        simulated=is_simulated,
        statement_id=said.id,
        statement_sha256=statement_sha256,
        archive_sha256=archive_sha256,
        sequence=said.chain.sequence,
        previous=said.chain.previous,
        attempt=said.attempt.number,
        job_end=said.attempt.end.value,
        reasons=tuple(one.code for one in (*said.reasons, *said.exceptions)),
        manufacturer=said.media.manufacturer,
        model=said.media.model,
        serial=said.media.serial,
        wwn=said.media.wwn,
        identity_key=said.media.identity_key,
        media=said.media.media_type.value,
        size_bytes=said.media.size_bytes,
        asset_tag=said.media.asset_tag,
        label_serial=said.media.label_serial,
        lot=said.lot.reference if said.lot else "",
        customer=said.lot.customer if said.lot else "",
        policy_id=said.sanitization.policy.id,
        required=said.sanitization.method.required.value,
        claimed=claimed.value if claimed else "",
        technique=said.sanitization.technique.value,
        bay=said.environment.bay,
        issued_at=said.environment.clock.issued_at,
        bundle=data,
    )


def _envelope_sha256(file: bundle.Bundle) -> str:
    return hashlib.sha256(canonical_json(file.envelope.plain())).hexdigest()


def _require_station(named: str, station: KnownStation, subject: str = "") -> None:
    if named != station.name:
        raise RefusedError(
            "station.other",
            f"it names station {show(named)!r}, and {show(station.name)!r} sent it",
            subject=subject,
            next_step="Compare `station.name` on the station with `station.id` at the centre",
        )


def _not_authentic(why: str, said: Predicate | None = None) -> RefusedError:
    return RefusedError(
        "record.not-authentic",
        why,
        subject=said.attempt.job_id if said else "",
        next_step="Compare the station's keys with those in the centre's settings",
    )


def _simulated(job: str) -> RefusedError:
    return RefusedError(
        "simulated.refused",
        "this centre takes nothing of drives made of software",
        subject=job,
        next_step="Point demonstrations at a centre whose settings say `accept_simulated = true`",
    )
