"""The outbox: delivers entries, evidence, records and lot documents to the centre, in order.

Only the centre's signed receipt makes a record Delivered. What failed is tried again with a delay
that doubles up to ten minutes and is never given up; the same bytes under the same digest make
repeats harmless. A receipt that speaks of a later head than this ledger has means that the journal
was set back: nothing more is sent, and the station says so.
"""

from __future__ import annotations

import enum
import hashlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nullbay.agent.journal.outbox import Outbox, Waiting
from nullbay.agent.journal.store import Journal
from nullbay.certs import delivery
from nullbay.certs.keys import PublicKey, SignatureInvalidError
from nullbay.domain.clock import Clock
from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import JobId
from nullbay.domain.record import Receipt

FIRST_DELAY_S = 2.0
LAST_DELAY_S = 600.0
REFUSED_DELAY_S = 3_600.0
_MISSING = frozenset({"evidence.missing", "ledger.missing", "ledger.gap"})
_AGAIN = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the centre answered: HTTP status, problem code (empty on success), body.

    `wanted` is the number of the entry that a centre asks for which lacks earlier ones.
    """

    status: int
    code: str
    body: bytes
    wanted: int | None = None


class UnreachableError(NullbayError):
    """The centre did not answer."""

    code = "centre.unreachable"


class Post(Protocol):
    """The way to the centre. Every method raises UnreachableError."""

    async def put(self, path: str, body: bytes | Path) -> Answer:
        """Send bytes, or a file."""
        ...

    async def has(self, path: str) -> bool:
        """Whether the centre has it."""
        ...

    async def heartbeat(self, status: bytes) -> Answer:
        """Push the station's status."""
        ...


class Standing(enum.StrEnum):
    """How the delivery stands; every word but the first two is a problem the station shows."""

    IDLE = "idle"
    DELIVERING = "delivering"
    UNREACHABLE = "centre.unreachable"
    REFUSED = "centre.refused"
    FORGED = "centre.receipt-invalid"
    SET_BACK = "centre.journal-set-back"


@dataclass(frozen=True, slots=True)
class _Step:
    """The outcome of one attempt: how it stands and how long to wait before the next."""

    standing: Standing
    detail: str
    delay_s: float


class Deliverer:
    """Delivers one journal's outbox. `run` never returns by itself."""

    def __init__(
        self,
        journal: Journal,
        station: str,
        post: Post,
        centre_key: PublicKey,
        files: Callable[[JobId], tuple[Path, Path]],
        clock: Clock,
        *,
        told: Callable[[], object] = lambda: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`files` gives bundle and archive of a job; `told` is called when something changed."""
        self._journal, self._outbox = journal, Outbox(journal)
        self._station, self._post, self._key = station, post, centre_key
        self._files, self._clock, self._told, self._jitter = files, clock, told, jitter
        self._failures = 0
        self.standing, self.detail = Standing.IDLE, ""

    async def run(self, wake: Callable[[float], Awaitable[object]]) -> None:
        """Deliver for ever; `wake(seconds)` waits that long or until something new is there."""
        while True:
            step = await self.attempt()
            if (step.standing, step.detail) != (self.standing, self.detail):
                self.standing, self.detail = step.standing, step.detail
                self._told()
            if step.delay_s:
                await wake(step.delay_s)

    async def attempt(self) -> _Step:
        """Deliver the oldest waiting entry, if there is one."""
        waiting = self._outbox.next()
        if waiting is None:
            self._failures = 0
            return _Step(Standing.IDLE, "", LAST_DELAY_S)
        try:
            return await self._deliver(waiting)
        except UnreachableError as error:
            return self._again(Standing.UNREACHABLE, str(error))
        except SignatureInvalidError:
            return self._again(Standing.FORGED, "not signed by the centre's key")
        except NullbayError as error:
            return self._again(Standing.FORGED, str(error)[:200])
        except OSError as error:
            return self._again(Standing.REFUSED, f"{waiting.name}: {error.strerror}")

    async def _deliver(self, waiting: Waiting) -> _Step:
        if not waiting.entry_is_there:
            body = delivery.encode_entry(self._station, waiting.entry)
            digest = waiting.entry.sha256
            answer = await self._post.put(f"/v1/entries/{digest}", body)
            if answer.status not in {200, 201}:
                return self._refused(waiting, answer)
            receipt = delivery.read_receipt(answer.body, self._key)
            if (step := self._doubt(receipt, digest)) is not None:
                return step
            self._outbox.entry_received(waiting, answer.body)
            return self._went_well()
        if waiting.has_document:
            return await self._deliver_document(waiting)
        assert waiting.job_id is not None, "a done row is not waiting"  # noqa: S101 - our own rows
        bundle_path, archive_path = self._files(waiting.job_id)
        bundle = bundle_path.read_bytes()
        evidence = f"/v1/evidence/{_sha256_of(archive_path)}"
        if not await self._post.has(evidence):
            answer = await self._post.put(evidence, archive_path)
            if answer.status not in {200, 201}:
                return self._refused(waiting, answer)
        digest = delivery.envelope_sha256(bundle)
        answer = await self._post.put(f"/v1/records/{digest}", bundle)
        if answer.status not in {200, 201}:
            return self._refused(waiting, answer)
        receipt = delivery.read_receipt(answer.body, self._key)
        if (step := self._doubt(receipt, digest)) is not None:
            return step
        self._outbox.record_received(waiting, answer.body)
        return self._went_well()

    async def _deliver_document(self, waiting: Waiting) -> _Step:
        document = self._outbox.document(waiting)
        digest = hashlib.sha256(document).hexdigest()
        answer = await self._post.put(f"/v1/documents/{digest}", document)
        if answer.status not in {200, 201}:
            return self._refused(waiting, answer)
        receipt = delivery.read_receipt(answer.body, self._key)
        if (step := self._doubt(receipt, digest)) is not None:
            return step
        self._outbox.document_received(waiting, answer.body)
        return self._went_well()

    def _went_well(self) -> _Step:
        self._failures = 0
        self._told()
        return _Step(Standing.DELIVERING, "", 0.0)

    def _doubt(self, receipt: Receipt, digest: str) -> _Step | None:
        """Why a receipt is not for what was sent, or tells that this journal was set back."""
        if receipt.envelope_sha256 != digest or receipt.station != self._station:
            return self._again(Standing.FORGED, "a receipt for something else")
        seen = self._journal.entry(receipt.head_sequence)
        if seen is None or seen.sha256 != receipt.head_sha256:
            detail = f"the centre has entry {receipt.head_sequence} of another history"
            return _Step(Standing.SET_BACK, detail, REFUSED_DELAY_S)
        return None

    def _refused(self, waiting: Waiting, answer: Answer) -> _Step:
        """A status other than success: later, or never for what is not wanted beside an entry."""
        what = f"{answer.code or 'HTTP'} {answer.status}"
        if answer.code == "ledger.gap" and answer.wanted and answer.wanted < waiting.entry.sequence:
            # the centre was set back to an older copy: it gets everything from there again
            self._outbox.deliver_again_from(answer.wanted)
            return self._again(Standing.UNREACHABLE, f"{what}, from entry {answer.wanted} again")
        if answer.status >= 500 or answer.status in _AGAIN or answer.code in _MISSING:
            return self._again(Standing.UNREACHABLE, what)
        is_about_us = answer.status in {401, 403, 404}
        if waiting.entry_is_there and not is_about_us:
            self._outbox.refused(waiting, what)
            self._told()
            return _Step(Standing.DELIVERING, "", 0.0)
        delay_s = self._again(Standing.REFUSED, what).delay_s if is_about_us else REFUSED_DELAY_S
        return _Step(Standing.REFUSED, what, delay_s)

    def _again(self, standing: Standing, detail: str) -> _Step:
        """Twice as long as before, at most ten minutes, and never two stations at once."""
        longest = min(LAST_DELAY_S, FIRST_DELAY_S * 2 ** min(self._failures, 20))
        self._failures += 1
        return _Step(standing, detail, longest * (0.5 + self._jitter() / 2))


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
