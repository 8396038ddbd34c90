"""What stations deliver: checked, kept and receipted, or refused with a code and a digest kept.

Checking comes first and needs no database; then one transaction decides on the place in the chain.
Time goes through the Clock, blocking work through `Work`.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Callable
from functools import partial

from nullbay.certs import delivery
from nullbay.certs.keys import FileSigner
from nullbay.certs.ledger import Head
from nullbay.config.server_settings import ServerSettings
from nullbay.domain.clock import Clock, Stamp
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.record import Receipt
from nullbay.domain.verdict import Verdict
from nullbay.server import receive
from nullbay.server.cards import Via
from nullbay.server.changes import Changes
from nullbay.server.db import intake, lots, standing
from nullbay.server.db.engine import Database
from nullbay.server.evidence import Evidence, WrongDigestError
from nullbay.server.findings import CATALOGUE
from nullbay.server.metrics import CentreMetrics
from nullbay.server.receive import ForkError, GapError, KnownStation, NotYetError, RefusedError
from nullbay.server.work import Work

WRITE_BYTES = 1024 * 1024
_REFUSED = (RefusedError, WrongDigestError, MalformedError)


class ForbiddenStationError(NullbayError):
    """A token that is wrong, expired, or of a station that is in the settings no more."""

    code = "station.token"


class Deliveries:
    """The door for stations. Whoever calls has authenticated the station it names."""

    def __init__(
        self,
        settings: ServerSettings,
        database: Database,
        evidence: Evidence,
        signer: FileSigner,
        clock: Clock,
        work: Work,
        metrics: CentreMetrics,
        changes: Changes,
    ) -> None:
        """Everything is open already. Raises MalformedError for a station whose keys are none."""
        self._settings, self._clock, self._metrics = settings, clock, metrics
        self._database, self._evidence, self._signer = database, evidence, signer
        self._work, self._changes = work, changes
        self.stations = {one.station: KnownStation.of(one) for one in settings.stations}
        self._tokens = _tokens(self.stations)

    @property
    def public_key_pem(self) -> bytes:
        """What receipts are checked with."""
        return self._signer.public_key_pem

    def station_of_token(self, token_sha256: str) -> str:
        """The station that delivers with the token of this SHA-256 (hex).

        Raises ForbiddenStationError for a token nobody has, or whose last day is over.
        """
        known = self._tokens.get(token_sha256)
        today = self._clock.now().at[:10]
        if known is None or (known.expires is not None and today > known.expires.isoformat()):
            raise ForbiddenStationError(
                "This token opens nothing here" if known is None else "This token has expired",
                next_step="Compare the station's token with the centre's settings",
            )
        return known.name

    async def take_entry(self, station: str, sha256: str, data: bytes) -> intake.Taken:
        """One ledger entry; the receipt, new or the same as before.

        Raises RefusedError, ForkError, WrongDigestError, MalformedError (all kept as digests),
        GapError, FullError, DatabaseError.
        """
        known = self._known(station)
        now = self._clock.now()
        check = partial(
            receive.check_entry,
            data,
            sha256,
            known,
            accept_simulated=self._settings.accept_simulated,
        )
        try:
            entry, body = await self._work.check(check)
            receipt = self._receipt(sha256, station, now)
            taken = await self._work.write(
                partial(intake.add_entry, self._database, station, entry, body, now, receipt)
            )
            match taken:
                case intake.Gap(wanted):
                    raise GapError(wanted)
                case intake.Fork(sequence):
                    raise ForkError(
                        "ledger.fork",
                        f"entry {sequence} is here with another content",
                        subject=str(sequence),
                        next_step="Keep the journal as it is; compare it with the centre's copy",
                    )
                case intake.Taken():
                    if taken.is_new:
                        self._metrics.entry_accepted()
                        self._changes.tell("station", station)
                    return taken
        except _REFUSED as error:
            await self._refuse(station, "entry", _sha256(data), error, len(data))
            raise

    async def take_record(self, station: str, envelope_sha256: str, data: bytes) -> intake.Taken:
        """One record; the receipt, new or the same as before.

        Raises as `take_entry`, and NotYetError while its archive or ledger entry is not here.
        """
        known = self._known(station)
        there = await self._work.read(
            partial(intake.find_record, self._database, station, envelope_sha256)
        )
        if there is not None and there[0] == data:
            return intake.Taken(there[1], is_new=False)
        now = self._clock.now()
        check = partial(
            receive.check_record,
            data,
            envelope_sha256,
            known,
            accept_simulated=self._settings.accept_simulated,
        )
        try:
            row = await self._work.check(check)
            receipt = self._receipt(envelope_sha256, station, now)
            taken = await self._work.write(partial(self._add_record, station, row, now, receipt))
            match taken:
                case intake.Missing(what):
                    raise _not_yet(what)
                case intake.Contradicted(code, message):
                    raise RefusedError(code, message, subject=row.job)
                case intake.Taken():
                    if taken.is_new:
                        self._metrics.record_accepted(Verdict(row.verdict))
                        self._changes.tell("record", envelope_sha256)
                    return taken
        except _REFUSED as error:
            await self._refuse(station, "record", _sha256(data), error, len(data))
            raise

    async def take_document(self, station: str, sha256: str, data: bytes) -> intake.Taken:
        """A document that the station's ledger names; the receipt, new or the same as before.

        Raises as `take_entry`, and NotYetError while no entry of this station names it.
        """
        known = self._known(station)
        now = self._clock.now()
        try:
            if _sha256(data) != sha256:
                raise WrongDigestError("the document is not the one that its address names")
            taken: intake.Taken | intake.Missing | intake.Contradicted | None
            taken = await self._work.read(
                partial(lots.find_document, self._database, station, sha256)
            )
            if taken is None:
                check = partial(receive.check_document, data, known)
                document = await self._work.check(check)
                receipt = self._receipt(sha256, station, now)
                taken = await self._work.write(
                    partial(
                        lots.add_document,
                        self._database,
                        station,
                        sha256,
                        data,
                        document,
                        now,
                        receipt,
                    )
                )
            match taken:
                case intake.Missing():
                    raise NotYetError(
                        "No ledger entry of this station names the document yet",
                        next_step="Deliver that entry first, then the document again",
                    )
                case intake.Contradicted(code, message):
                    raise RefusedError(code, message, subject=sha256[:16])
                case intake.Taken():
                    if taken.is_new:
                        self._changes.tell("lot", station)
                    return taken
        except _REFUSED as error:
            await self._refuse(station, "document", _sha256(data), error, len(data))
            raise

    async def has_evidence(self, station: str, sha256: str) -> bool:
        """Whether this station's archive is here, file and row."""
        self._known(station)
        return await self._work.read(partial(self._has_evidence, station, sha256))

    async def take_evidence(
        self, station: str, sha256: str, announced_bytes: int | None, chunks: AsyncIterable[bytes]
    ) -> bool:
        """An archive as it arrives, at most `limits.evidence_max_bytes`; whether it is new.

        Nothing of it stays where anything is raised: WrongDigestError (its digest is kept),
        MalformedError, FullError, EvidenceError, DatabaseError, whatever `chunks` raises.
        """
        self._known(station)
        if await self.has_evidence(station, sha256):
            return False
        try:
            size = await self._receive(sha256, announced_bytes, chunks)
            is_new = await self._work.write(
                partial(
                    intake.add_archive, self._database, station, sha256, size, self._clock.now()
                )
            )
        except (WrongDigestError, MalformedError) as error:
            await self._refuse(station, "evidence", sha256, error, announced_bytes or 0)
            raise
        return is_new

    async def take_status(self, station: str, data: bytes, via: Via) -> None:
        """A station's word on itself; contradictions with its chain become findings.

        Raises RefusedError, MalformedError (their digests are kept), DatabaseError.
        """
        self._known(station)
        try:
            status = receive.check_status(
                data, station, accept_simulated=self._settings.accept_simulated
            )
        except _REFUSED as error:
            await self._refuse(station, "status", _sha256(data), error, len(data))
            raise
        now = self._clock.now()
        await self._work.write(
            partial(standing.add_status, self._database, station, status, via, now)
        )
        self._changes.tell("station", station)

    async def poll_failed(self, station: str, code: str) -> None:
        """A poll did not bring a status; why, in a code."""
        await self._work.write(
            partial(standing.poll_failed, self._database, station, code, self._clock.now())
        )
        self._changes.tell("station", station)

    async def refuse_oversized(self, station: str, what: str, sha256: str, size: int) -> None:
        """Note that something larger than any of its kind was sent; it was not read."""
        error = MalformedError(f"announced {size} bytes", code="input.too-large")
        await self._refuse(station, what, sha256, error, size)

    def _known(self, station: str) -> KnownStation:
        known = self.stations.get(station)
        if known is None:
            raise ForbiddenStationError("This station is not in the centre's settings")
        return known

    def _receipt(self, digest: str, station: str, now: Stamp) -> Callable[[Head], bytes]:
        def make(head: Head) -> bytes:
            said = Receipt(digest, station, head.sequence, head.sha256, now)
            return delivery.sign_receipt(said, self._signer)

        return make

    def _add_record(
        self,
        station: str,
        row: intake.RecordRow,
        now: Stamp,
        receipt: Callable[[Head], bytes],
    ) -> intake.Taken | intake.Missing | intake.Contradicted:
        # A row without its file (a lost disk, a removed file) is not there: it is asked for again.
        if self._evidence.find(row.archive_sha256) is None:
            return intake.Missing("evidence")
        return intake.add_record(self._database, station, row, now, receipt)

    def _has_evidence(self, station: str, sha256: str) -> bool:
        return self._evidence.find(sha256) is not None and intake.has_archive(
            self._database, station, sha256
        )

    async def _receive(
        self, sha256: str, announced_bytes: int | None, chunks: AsyncIterable[bytes]
    ) -> int:
        part = await self._work.write(partial(self._evidence.begin, sha256, announced_bytes))
        waiting = bytearray()
        try:
            async for chunk in chunks:
                waiting += chunk
                if part.bytes + len(waiting) > self._settings.limits.evidence_max_bytes:
                    raise MalformedError("the archive is too large", code="input.too-large")
                if len(waiting) >= WRITE_BYTES:
                    await self._work.read(partial(part.write, bytes(waiting)))
                    waiting.clear()
            await self._work.read(partial(part.write, bytes(waiting)))
            await self._work.read(part.keep)
        finally:
            await self._work.read(part.drop)
        return part.bytes

    async def _refuse(
        self, station: str, what: str, sha256: str, error: NullbayError, size: int
    ) -> None:
        code = error.code if error.code in CATALOGUE else "input.malformed"
        self._metrics.refused(what, code)
        thing = intake.RefusedThing(what, sha256, code, str(error), size)
        await self._work.write(
            partial(
                intake.refuse,
                self._database,
                station,
                thing,
                self._clock.now(),
                keep=self._settings.limits.refused_kept,
                subject=getattr(error, "subject", ""),
            )
        )
        self._changes.tell("finding", station)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _tokens(stations: dict[str, KnownStation]) -> dict[str, KnownStation]:
    """Whose token it is, by its digest. Raises MalformedError where two have the same."""
    known: dict[str, KnownStation] = {}
    for one in stations.values():
        if not one.token_sha256:
            continue
        if other := known.get(one.token_sha256):
            raise MalformedError(f"stations {other.name} and {one.name} have the same token")
        known[one.token_sha256] = one
    return known


def _not_yet(what: str) -> NotYetError:
    named = {"evidence": "evidence archive", "ledger": "job-concluded entry"}[what]
    return NotYetError(
        f"The record's {named} is not here yet",
        next_step="Deliver that first, then the record again",
        code=f"{what}.missing",
    )
