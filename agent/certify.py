"""Certifying: the signed start of a job, its record, the closing of an insertion.

A record's files are durable in the state directory before the ledger entry that names them is; the
ledger row and the job's event are one transaction. Copies leave only after it: nobody ever holds a
record that the ledger does not know, however often a crash made it be written again.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nullbay.agent.journal.store import JobRow, Journal
from nullbay.certs import archive, bundle, issue, ledger, pdf, transcript, verify
from nullbay.certs.keys import PublicKey
from nullbay.domain.clock import Clock
from nullbay.domain.codec import from_plain
from nullbay.domain.errors import MalformedError
from nullbay.domain.ids import JobId
from nullbay.domain.job import Certified, Concluded, Ended, JobEvent, JobState, StartSigned
from nullbay.domain.lot import Lot, Person
from nullbay.domain.ports import Signer
from nullbay.domain.record import ArchiveReference, Build, RecordContext, Transcript
from nullbay.domain.verdict import Conclusion, conclude
from nullbay.wipers.appendfile import Fault, no_fault, sync_directory, write_durably
from nullbay.wipers.jobdir import Order

NONCE_BYTES = 16
TRANSCRIPT = "transcript.dsse.json"


@dataclass(frozen=True, slots=True)
class Station:
    """Who signs: station name, organization, site; its key, and the bench's public one."""

    name: str
    organization: str
    site: str
    station_key: Signer
    bench_public_key_pem: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """A finished record: what it says and where its files are."""

    job: JobId
    conclusion: Conclusion
    statement_sha256: str
    bundle: Path
    archive: Path
    pdf: Path
    public_key: Path


class Certifier:
    """Signs and keeps. `records` is the folder of finished records in the state directory."""

    def __init__(
        self,
        journal: Journal,
        station: Station,
        build: Build,
        clock: Clock,
        records: Path,
        *,
        draw: Callable[[int], bytes] = secrets.token_bytes,
        render: Callable[[bytes], bytes] | None = pdf.render,
        fault: Fault = no_fault,
    ) -> None:
        """Keys are loaded, the journal is open.

        `draw` gives the bytes of statement ids and nonces, `render` the document of a bundle;
        None where somebody else makes documents later.
        """
        self._journal, self._station, self._build, self._clock = journal, station, build, clock
        self._records, self._draw, self._render, self._fault = records, draw, render, fault

    @property
    def station_name(self) -> str:
        """The station that its records and its ledger speak for."""
        return self._station.name

    @property
    def station_public_key_pem(self) -> bytes:
        """The key that its records are checked with."""
        return self._station.station_key.public_key_pem

    def start(self, order: Order, row: JobRow) -> None:
        """The signed job-started entry, and the job's event with it."""
        event = ledger.JobStarted(
            job_id=order.job_id,
            insertion_id=str(row.request.get("insertion", "")),
            identity_key=order.plan.identity_key,
            identify_sha256=order.drive.identity.identify_sha256,
            plan_sha256=order.plan.sha256,
            policy_id=order.plan.policy_id,
            bay=order.drive.attachment.bay or "",
            approvals=_people(row),
            simulated=order.plan.simulated,
        )
        self._append(row.job_id, lambda _: (event, StartSigned()))

    def certify(
        self, row: JobRow, order: Order, members: Mapping[str, bytes], out: Path | None
    ) -> Recorded:
        """Sign what the job's transcript says, write every file, put it into the ledger; then copy.

        `members` are the bench's, the signed transcript among them. Idempotent: repeating it after
        a crash gives the same statement id and the same file names. Raises MalformedError where
        they are of another job, and what `transcript.read_transcript` raises.
        """
        envelope = members.get(TRANSCRIPT, b"")
        said = transcript.read_transcript(
            envelope, PublicKey.from_pem(self._station.bench_public_key_pem)
        )
        if said.evidence.job_id != row.job_id or order.job_id != row.job_id:
            raise MalformedError(f"the bench told of {said.evidence.job_id}, not of {row.job_id}")
        conclusion = conclude(said.evidence)
        self._bring_to_concluded(row.job_id, said, conclusion)
        made = uuid.UUID(bytes=self._draw(16), version=4)
        self._journal.set_statement_id(row.job_id, f"urn:uuid:{made}")
        row = self._journal.job(row.job_id)
        folder = self._folder(row.job_id)

        def entry(head: ledger.Head) -> tuple[ledger.LedgerEvent, JobEvent]:
            self._fault("write archive")
            digest = archive.write(_paths(folder, row.job_id)["archive"], members)
            self._fault("written archive")
            context = self._context(row, order, _last_bay(said, order), envelope, digest, head)
            issued = issue.issue(context, self._station.station_key)
            self._write(row.job_id, folder, issued)
            event = ledger.JobConcluded(
                job_id=row.job_id,
                verdict=issued.conclusion.verdict,
                end=said.evidence.end,
                reasons=tuple(one.code for one in issued.conclusion.findings),
                statement_id=context.statement_id,
                statement_sha256=issued.statement_sha256,
                archive_sha256=digest,
            )
            return event, Certified(issued.statement_sha256)

        self._append(row.job_id, entry)
        payload = _payload_sha256(_paths(folder, row.job_id)["bundle"])
        return self._export(row.job_id, folder, out, conclusion, payload)

    def record_of(self, row: JobRow, out: Path | None) -> Recorded:
        """A record made before, its files copied to `out` again."""
        folder = self._folder(row.job_id)
        paths = _paths(folder, row.job_id)
        trust = tuple(
            PublicKey.from_pem(pem)
            for pem in (self.station_public_key_pem, self._station.bench_public_key_pem)
        )
        checked = verify.verify(paths["bundle"].read_bytes(), trust, paths["archive"])
        return self._export(
            row.job_id, folder, out, checked.conclusion, _payload_sha256(paths["bundle"])
        )

    def entry_of(
        self, event: ledger.LedgerEvent
    ) -> Callable[[ledger.LedgerEntry | None], ledger.LedgerEntry]:
        """Makes the entry of an event from the one before it."""
        body = ledger.LedgerBody(self._clock.now(), event)
        return lambda last: ledger.append(last, body, self._station.station_key)

    def close_insertion(self, closed: ledger.InsertionClosed) -> None:
        """The one ledger entry of an insertion."""
        self._append(None, lambda _: (closed, None), closes=closed.insertion_id)

    def _append(
        self,
        job: JobId | None,
        make: Callable[[ledger.Head], tuple[ledger.LedgerEvent, JobEvent | None]],
        *,
        closes: str | None = None,
    ) -> None:
        def entry(last: ledger.LedgerEntry | None) -> tuple[ledger.LedgerEntry, JobEvent | None]:
            said, event = make(last.head if last else ledger.EMPTY)
            body = ledger.LedgerBody(self._clock.now(), said)
            return ledger.append(last, body, self._station.station_key), event

        self._journal.happened_with_entry(job, entry, closes=closes)

    def _bring_to_concluded(self, job: JobId, said: Transcript, conclusion: Conclusion) -> None:
        state = self._journal.state(job).state
        if state not in {JobState.ENDED, JobState.CONCLUDED}:
            self._journal.happened(job, Ended(said.evidence.end))
        if state is not JobState.CONCLUDED:
            self._journal.happened(job, Concluded(conclusion.verdict))

    def _context(
        self,
        row: JobRow,
        order: Order,
        bay: str,
        envelope: bytes,
        digest: str,
        head: ledger.Head,
    ) -> RecordContext:
        request = row.request
        jobs = self._journal.jobs(row.identity_key)
        earlier = jobs[[one.job_id for one in jobs].index(row.job_id) + 1 :]
        strong = order.drive.identity.is_strong
        return RecordContext(
            statement_id=row.statement_id or "",
            nonce=self._draw(NONCE_BYTES),
            transcript_envelope=envelope,
            bench_public_key_pem=self._station.bench_public_key_pem,
            archive=ArchiveReference(f"{row.job_id}.evidence.tar.zst", digest),
            issued=self._clock.now(),
            station=self._station.name,
            bay=bay,
            chain_sequence=head.sequence + 1,
            chain_previous=head.sha256,
            attempt=row.attempt,
            previous=tuple(reversed([one.statement_id for one in earlier if one.statement_id]))
            if strong
            else (),
            organization=self._station.organization,
            lot=from_plain(Lot | None, request.get("lot")),
            asset_tag=str(request.get("asset_tag", "")),
            label_serial=str(request.get("label_serial", "")),
            people=_people(row),
        )

    def _folder(self, job: JobId) -> Path:
        folder = self._records / job
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            sync_directory(self._records)
        return folder

    def _write(self, job: JobId, folder: Path, issued: issue.Issued) -> None:
        contents = {
            "bundle": issued.bundle,
            "public_key": self._station.station_key.public_key_pem,
            "bench_key": self._station.bench_public_key_pem,
        }
        if self._render is not None:
            contents["pdf"] = self._render(issued.bundle)
        paths = _paths(folder, job)
        for name, content in contents.items():
            write_durably(paths[name], content, 0o644, fault=self._fault)

    def _export(
        self,
        job: JobId,
        folder: Path,
        out: Path | None,
        conclusion: Conclusion,
        statement_sha256: str,
    ) -> Recorded:
        """Copies for whoever asked; the originals stay in the state directory."""
        paths = _paths(folder, job)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            copies = _paths(out, job)
            for name, path in paths.items():
                # the folder is shared with other commands, and so is the keys' name
                write_durably(copies[name], path.read_bytes(), 0o644, mark=job, fault=self._fault)
            paths = copies
        return Recorded(
            job,
            conclusion,
            statement_sha256,
            paths["bundle"],
            paths["archive"],
            paths["pdf"],
            paths["public_key"],
        )


def _paths(folder: Path, job: JobId) -> dict[str, Path]:
    return {
        "archive": folder / f"{job}.evidence.tar.zst",
        "bundle": folder / f"{job}.sigstore.json",
        "pdf": folder / f"{job}.pdf",
        "public_key": folder / "station.pub.pem",
        "bench_key": folder / "bench.pub.pem",
    }


def _last_bay(said: Transcript, order: Order) -> str:
    """Where the drive was at the end: it may have come back in another bay."""
    sessions = said.evidence.sessions
    last = sessions[-1].attachment if sessions else order.drive.attachment
    return last.bay or order.drive.attachment.bay or ""


def _people(row: JobRow) -> tuple[Person, ...]:
    return from_plain(tuple[Person, ...], row.request.get("people", []))


def _payload_sha256(bundle_path: Path) -> str:
    return hashlib.sha256(bundle.read(bundle_path.read_bytes()).envelope.payload).hexdigest()
