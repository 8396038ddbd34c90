"""A centre made of dictionaries and a real key, which keeps to the contract and is often away."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nullbay.agent.outbox import Answer, Deliverer, UnreachableError
from nullbay.certs import bundle, delivery, ledger
from nullbay.certs.keys import FileSigner, PublicKey
from nullbay.certs.lot_document import named_by
from nullbay.domain.ids import JobId
from nullbay.domain.record import Receipt
from nullbay.lab.clock import VirtualClock

if TYPE_CHECKING:
    from support.station import Bench

STATION = "simulation"


@dataclass
class PaperCentre:
    """Everything by digest; `taken` is what it had not had before, in order of coming.

    `is_away`: nobody answers. `lost`: the share of requests whose answer gets lost afterwards.
    """

    signer: FileSigner
    clock: VirtualClock
    draw: random.Random
    is_away: bool = False
    lost: float = 0.0
    entries: list[ledger.LedgerEntry] = field(default_factory=list)
    evidence: dict[str, bytes] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    beats: list[bytes] = field(default_factory=list)
    missed: int = 0

    @property
    def public(self) -> PublicKey:
        """The key its receipts are checked by."""
        return PublicKey.from_pem(self.signer.public_key_pem)

    def employed_by(self, bench: Bench) -> None:
        """The station delivers here."""
        bench.assembly.deliver_by(
            Deliverer(
                bench.journal,
                STATION,
                self,
                self.public,
                lambda job: _files(bench, job),
                self.clock,
                told=lambda: bench.assembly.changes.tell("station"),
                jitter=random.Random(f"{bench.rack.seed}/jitter").random,
            )
        )

    def events(self) -> list[ledger.LedgerEvent]:
        """What the entries say that it has."""
        return [ledger.read_body(one.body).event for one in self.entries]

    async def put(self, path: str, body: bytes | Path) -> Answer:
        self._answer()
        data = _bytes_of(body)
        kind, _, digest = path.removeprefix("/v1/").partition("/")
        acts: dict[str, Callable[[str, bytes], Answer]] = {
            "entries": self._entry,
            "evidence": self._evidence,
            "records": self._record,
            "documents": self._document,
        }
        answer = acts[kind](digest, data)
        if self.lost and self.draw.random() < self.lost:
            raise UnreachableError("connection reset after the body")
        return answer

    async def has(self, path: str) -> bool:
        self._answer()
        return path.removeprefix("/v1/evidence/") in self.evidence

    async def heartbeat(self, status: bytes) -> Answer:
        if self.is_away:
            self.missed += 1
        self._answer()
        self.beats.append(status)
        return Answer(204, "", b"")

    def _answer(self) -> None:
        if self.is_away:
            raise UnreachableError("connection refused")

    def _entry(self, digest: str, data: bytes) -> Answer:
        station, entry = delivery.decode_entry(data)
        assert (station, entry.sha256) == (STATION, digest)
        is_known = digest in {one.sha256 for one in self.entries}
        if not is_known:
            head = self.entries[-1] if self.entries else ledger.EMPTY
            assert (entry.sequence, entry.previous) == (head.sequence + 1, head.sha256)
            self.entries.append(entry)
        return self._received("entry", digest, is_known=is_known)

    def _evidence(self, digest: str, data: bytes) -> Answer:
        assert hashlib.sha256(data).hexdigest() == digest
        is_known = digest in self.evidence
        self.evidence[digest] = data
        return Answer(200 if is_known else 201, "", b"")

    def _record(self, digest: str, data: bytes) -> Answer:
        assert delivery.envelope_sha256(data) == digest
        said = hashlib.sha256(bundle.read(data).envelope.payload).hexdigest()
        concluded = [one for one in self.events() if isinstance(one, ledger.JobConcluded)]
        named = [one for one in concluded if one.statement_sha256 == said]
        if not named:
            return Answer(409, "ledger.missing", b"{}")
        if named[0].archive_sha256 not in self.evidence:
            return Answer(409, "evidence.missing", b"{}")
        is_known = digest in self.records
        self.records[digest] = data
        return self._received("record", digest, is_known=is_known)

    def _document(self, digest: str, data: bytes) -> Answer:
        assert hashlib.sha256(data).hexdigest() == digest
        notes = [named_by(one) for one in self.events() if isinstance(one, ledger.StationEvent)]
        if digest not in {one.document for one in notes if one}:
            return Answer(409, "ledger.missing", b"{}")
        is_known = digest in self.documents
        self.documents[digest] = data
        return self._received("document", digest, is_known=is_known)

    def _received(self, what: str, digest: str, *, is_known: bool) -> Answer:
        if not is_known:
            self.taken.append(f"{what} {digest}")
        last = self.entries[-1]
        receipt = Receipt(digest, STATION, last.sequence, last.sha256, self.clock.now())
        return Answer(200 if is_known else 201, "", delivery.sign_receipt(receipt, self.signer))


def _files(bench: Bench, job: JobId) -> tuple[Path, Path]:
    files = bench.assembly.station.record(job)
    return files.bundle, files.archive


def _bytes_of(body: bytes | Path) -> bytes:
    return body if isinstance(body, bytes) else body.read_bytes()
