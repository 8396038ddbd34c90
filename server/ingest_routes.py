"""The addresses that stations deliver to, on the route table that all of nullbay's HTTP shares.

Every one needs a station's token. Bodies are capped before they are read; what announces more than
the cap is refused unread, and that is noted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web

from nullbay.certs.bundle import BUNDLE_MAX_BYTES
from nullbay.certs.delivery import ENTRY_MAX_BYTES
from nullbay.certs.lot_document import DOCUMENT_MAX_BYTES
from nullbay.domain.clock import Clock
from nullbay.domain.errors import MalformedError, TooLargeError
from nullbay.server.cards import Via
from nullbay.server.db.intake import Taken
from nullbay.server.deliveries import Deliveries, ForbiddenStationError
from nullbay.server.receive import STATUS_MAX_BYTES, GapError
from nullbay.web.bodies import READ_TIMEOUT_S, StreamBody, chunks
from nullbay.web.problems import BusyError, HttpError, SlowBodyError
from nullbay.web.routes import Answer, Ask, NoAnswer, RawAnswer, Route
from nullbay.web.security import only
from nullbay.web.sessions import Caller
from nullbay.web.shapes import Text

ROLE = "station"
RECEIPT = "application/vnd.nullbay.receipt+json"
WANTED = "Nullbay-Wanted-Sequence"
_JSON = ("application/json",)
_BUNDLE = ("application/json", "application/vnd.dev.sigstore.bundle.v0.3+json")
_ARCHIVE = ("application/zstd",)
# The doors have caps of their own, so that what is too large is noted before it is refused.
_NO_CAP = 2**53
UNREAD = "0" * 64
"""The digest of a body that was not read and whose address claims none."""

STATUSES = {
    "centre.busy": 503,
    "centre.database": 503,
    "centre.database-form": 503,
    "centre.evidence": 503,
    "centre.full": 507,
    "centre.unknown": 404,
    "digest.wrong": 422,
    "evidence.missing": 409,
    "finding.acknowledged": 409,
    "ledger.broken": 422,
    "ledger.fork": 409,
    "ledger.gap": 409,
    "ledger.missing": 409,
    "lot.contradicts-ledger": 422,
    "record.contradicts-ledger": 422,
    "record.not-authentic": 422,
    "record.refused": 422,
    "record.replayed": 422,
    "simulated.refused": 403,
    "station.other": 403,
    "station.token": 401,
}
"""HTTP statuses of the centre's own codes."""


@dataclass(frozen=True, slots=True)
class Digest:
    """A SHA-256 in an address."""

    sha256: Annotated[str, Text(64, 64, "^[0-9a-f]{64}$")]


class _WantedError(HttpError):
    """A gap, with the number that is wanted in a header too."""

    code = "ledger.gap"
    status = 409


class _BrokenOffError(HttpError):
    """The connection ended before the body did: everyday life, nothing to note."""

    code = "http.broken-off"


class StationTokens:
    """Bearer tokens of stations, for the gate; asks `others` about any that is none."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries

    async def bearer(self, digest: bytes) -> Caller | None:
        """The station whose token has this SHA-256; None for nobody, or where it has expired."""
        try:
            station = self._deliveries.station_of_token(digest.hex())
        except ForbiddenStationError:
            return None
        return Caller(station, frozenset({ROLE}), "bearer", station)


class _Door:
    """Reads what stations send, within caps, and hands it on."""

    def __init__(self, deliveries: Deliveries, clock: Clock, *, at_once: int) -> None:
        self._deliveries, self._clock = deliveries, clock
        self._most, self._now = at_once, 0

    @contextmanager
    def room(self, share: int = 1) -> Iterator[None]:
        """Bodies that are being read never fill the memory; large ones count several times.

        Raises BusyError.
        """
        share = min(share, self._most)
        if self._now + share > self._most:
            raise BusyError(
                "The centre has more deliveries than it takes at once",
                next_step="Deliver it again a little later",
                headers={"Retry-After": "2"},
            )
        self._now += share
        try:
            yield
        finally:
            self._now -= share

    async def body(self, ask: Ask[Any, None], kind: StreamBody, what: str, cap: int) -> bytes:
        """The whole body. Raises TooLargeError, noted with the digest its address claims."""
        held = bytearray()
        try:
            async with self._clock.timeout(READ_TIMEOUT_S):
                async for piece in self.pieces(ask, kind, what, cap):
                    held += piece
        except TimeoutError:
            raise SlowBodyError("The body did not arrive in time") from None
        return bytes(held)

    async def pieces(
        self, ask: Ask[Any, None], kind: StreamBody, what: str, cap: int
    ) -> AsyncIterator[bytes]:
        """The body as it arrives; raises as `body`, and _BrokenOffError."""
        size = ask.request.content_length or 0
        if size > cap:
            raise await self._too_large(ask, what, size, cap)
        taken = 0
        try:
            async for piece in chunks(ask.request, kind, self._clock):
                taken += len(piece)
                if taken > cap:
                    break
                yield piece
        except MalformedError as error:
            raise _BrokenOffError(str(error)) from None
        if taken > cap:
            raise await self._too_large(ask, what, taken, cap)

    async def _too_large(
        self, ask: Ask[Any, None], what: str, size: int, cap: int
    ) -> TooLargeError:
        claimed = ask.params.sha256 if isinstance(ask.params, Digest) else UNREAD
        await self._deliveries.refuse_oversized(ask.caller.person, what, claimed, size)
        return TooLargeError(f"More than {cap} bytes were sent", next_step="Send less at once")


def routes(
    deliveries: Deliveries, clock: Clock, *, evidence_max_bytes: int, at_once: int
) -> tuple[Route, ...]:
    """The addresses of the contract between station and centre."""
    door = _Door(deliveries, clock, at_once=at_once)
    json, bundles, archives = (StreamBody(types, _NO_CAP) for types in (_JSON, _BUNDLE, _ARCHIVE))

    async def entry(ask: Ask[Digest, None]) -> Answer:
        with door.room():
            body = await door.body(ask, json, "entry", ENTRY_MAX_BYTES)
            try:
                taken = await deliveries.take_entry(ask.caller.person, ask.params.sha256, body)
            except GapError as error:
                raise _WantedError(
                    str(error), next_step=error.next_step, headers={WANTED: str(error.wanted)}
                ) from None
            return _receipt(taken)

    async def record(ask: Ask[Digest, None]) -> Answer:
        with door.room():
            body = await door.body(ask, bundles, "record", BUNDLE_MAX_BYTES)
            taken = await deliveries.take_record(ask.caller.person, ask.params.sha256, body)
            return _receipt(taken)

    async def document(ask: Ask[Digest, None]) -> Answer:
        with door.room(DOCUMENT_MAX_BYTES // BUNDLE_MAX_BYTES):
            body = await door.body(ask, json, "document", DOCUMENT_MAX_BYTES)
            taken = await deliveries.take_document(ask.caller.person, ask.params.sha256, body)
            return _receipt(taken)

    async def has_evidence(ask: Ask[Digest, None]) -> web.Response:
        found = await deliveries.has_evidence(ask.caller.person, ask.params.sha256)
        return web.Response(status=200 if found else 404)

    async def evidence(ask: Ask[Digest, None]) -> Answer:
        with door.room():
            is_new = await deliveries.take_evidence(
                ask.caller.person,
                ask.params.sha256,
                ask.request.content_length,
                door.pieces(ask, archives, "evidence", evidence_max_bytes),
            )
            return Answer(None, 201 if is_new else 200)

    async def heartbeat(ask: Ask[None, None]) -> Answer:
        with door.room():
            body = await door.body(ask, json, "status", STATUS_MAX_BYTES)
            await deliveries.take_status(ask.caller.person, body, Via.HEARTBEAT)
            return Answer(None, 204)

    station = only(ROLE)
    answers = RawAnswer((RECEIPT,))
    common = ("centre.full", "centre.busy", "centre.database", "http.busy", "digest.wrong")
    unsound = ("input.malformed", "input.too-large", "input.unknown-schema", "station.other")
    return (
        Route(
            "PUT",
            "/v1/entries/{sha256}",
            "Deliver one ledger entry; answers a signed receipt, the same for the same entry",
            station,
            entry,
            answers,
            Digest,
            json,
            (201, 200),
            (*common, *unsound, "ledger.gap", "ledger.fork", "ledger.broken", "simulated.refused"),
        ),
        Route(
            "PUT",
            "/v1/records/{sha256}",
            "Deliver one record; answers a signed receipt, the same for the same record",
            station,
            record,
            answers,
            Digest,
            bundles,
            (201, 200),
            (
                *common,
                *unsound,
                "evidence.missing",
                "ledger.missing",
                "record.contradicts-ledger",
                "record.not-authentic",
                "record.replayed",
                "simulated.refused",
            ),
        ),
        Route(
            "PUT",
            "/v1/documents/{sha256}",
            "Deliver a lot's document that a ledger entry names; answers a signed receipt",
            station,
            document,
            answers,
            Digest,
            json,
            (201, 200),
            (*common, *unsound, "ledger.missing", "lot.contradicts-ledger"),
        ),
        Route(
            "HEAD",
            "/v1/evidence/{sha256}",
            "Ask whether an evidence archive is here",
            station,
            has_evidence,
            NoAnswer(),
            Digest,
            None,
            (200, 404),
            ("centre.database",),
        ),
        Route(
            "PUT",
            "/v1/evidence/{sha256}",
            "Deliver an evidence archive as it is",
            station,
            evidence,
            NoAnswer(),
            Digest,
            archives,
            (201, 200),
            (*common, "input.too-large", "centre.evidence"),
        ),
        Route(
            "POST",
            "/v1/heartbeats",
            "Tell how the station stands, nullbay.status/1",
            station,
            heartbeat,
            NoAnswer(),
            None,
            json,
            (204,),
            (*common, *unsound, "simulated.refused"),
        ),
    )


def _receipt(taken: Taken) -> Answer:
    return Answer(taken.receipt, 201 if taken.is_new else 200)
