"""Checking a certificate as a stranger would: believe the keys one was given, and compute the rest.

The order is fixed, so that nothing is looked at before what it rests on was checked: caps, form,
the station's signature, the statement's form, the bench's signature on the transcript inside, the
verdict computed anew from that transcript, every field that repeats it, the archive.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nullbay.certs import bundle, dsse, projection, statement
from nullbay.certs.archive import CAPS
from nullbay.certs.keys import DEMO_PREFIX, PublicKey, SignatureInvalidError
from nullbay.certs.predicate import Predicate, Statement
from nullbay.certs.transcript import open_transcript
from nullbay.domain.errors import MalformedError, NullbayError, TooLargeError
from nullbay.domain.outcome import JobEvidence
from nullbay.domain.policy import Confidence
from nullbay.domain.record import Transcript
from nullbay.domain.text import show
from nullbay.domain.verdict import Conclusion, Verdict, conclude

BUNDLES_MAX = 100_000
STRATA_MAX = 2_000_000
PATTERN_KEY_LABEL = b"nullbay/pattern-key/1"
PATTERN_KEY_MEMBER = "pattern-key.bin"
PATTERN_KEY_BYTES = 32

NOTE_BENCH_VOUCHED = "bench-key-vouched-by-station"
NOTE_NO_ARCHIVE = "archive-not-checked"
NOTE_DEMO_KEY = "signed-by-demo-key"
NOTE_KEY_NAME = "key-name-differs"

EXIT_NOT_AUTHENTIC = 50
EXIT_MALFORMED = 51


class NotAuthenticError(NullbayError):
    """The certificate is not what it says it is; `code` says which check failed."""

    code = "certificate.not-authentic"

    def __init__(self, check: str, message: str) -> None:
        """`check` becomes the last part of the code."""
        super().__init__(
            message,
            next_step="Do not rely on it; ask the station's owner for the original and its key",
            code=f"certificate.{check}",
        )


@dataclass(frozen=True, slots=True)
class Checked:
    """An authentic record: its verdict, what it says, and `notes`, codes of what was not shown."""

    verdict: Verdict
    statement: Statement
    conclusion: Conclusion
    transcript: Transcript
    station_key: PublicKey
    notes: tuple[str, ...]


def verify(data: bytes, trust: tuple[PublicKey, ...], archive: Path | None = None) -> Checked:
    """Check a bundle's bytes against trusted keys, and the evidence archive if its path is given.

    Success proves that a trusted key signed this statement, that the bench key it names (trusted
    too where more than one key is given) signed the transcript, and that verdict and all repeated
    fields follow from the transcript. Raises NotAuthenticError, MalformedError (TooLargeError).
    """
    file = bundle.read(data)
    key = _signed_by(file, trust)
    said, plain = statement.read_both(file.envelope.payload)
    notes = []
    transcript, vouched = _transcript(said.predicate, key, trust)
    if vouched:
        notes.append(NOTE_BENCH_VOUCHED)
    conclusion = _conclude(transcript.evidence)
    _compare(plain, said.predicate, transcript, conclusion)
    notes += _key_names(said.predicate, transcript, key)
    if archive is None:
        notes.append(NOTE_NO_ARCHIVE)
    else:
        check_archive(said, archive)
    return Checked(conclusion.verdict, said, conclusion, transcript, key, tuple(notes))


def check_archive(said: Statement, path: Path) -> None:
    """Return if the file is the evidence archive that the statement is about.

    Raises NotAuthenticError where it is another, TooLargeError, OSError.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > CAPS.file_bytes:
            raise TooLargeError(f"the evidence archive is larger than {CAPS.file_bytes} bytes")
        while block := file.read(1024 * 1024):
            digest.update(block)
    if digest.hexdigest() != said.subject[0].digest.sha256:
        raise NotAuthenticError("archive", "the evidence archive is not the one that was signed")


def pattern_key(said: Statement, members: Mapping[str, bytes]) -> bytes | None:
    """The job's pattern key from an archive's members; None where the record says it is not there.

    Success proves that it is the key committed to. Raises NotAuthenticError where it is missing or
    another.
    """
    committed = said.predicate.pattern_key
    if committed is None or not committed.in_evidence:
        return None
    key = members.get(PATTERN_KEY_MEMBER, b"")
    found = hashlib.sha256(PATTERN_KEY_LABEL + key).hexdigest()
    if len(key) != PATTERN_KEY_BYTES or found != committed.commitment_sha256:
        raise NotAuthenticError("pattern-key", "the archive's pattern key is not the committed one")
    return key


def read_file(path: Path) -> bytes:
    """A bundle file's bytes, never more than the cap. Raises TooLargeError, OSError."""
    with path.open("rb") as file:
        data = file.read(bundle.BUNDLE_MAX_BYTES + 1)
    if len(data) > bundle.BUNDLE_MAX_BYTES:
        raise TooLargeError(f"{show(path.name)} is larger than any certificate")
    return data


def find_bundles(directory: Path) -> tuple[Path, ...]:
    """Every `*.sigstore.json` in a directory and below, links not followed, in order of path.

    Raises MalformedError where there is none (checking nothing is no success), TooLargeError beyond
    100,000, OSError where a directory cannot be read.
    """
    found: list[Path] = []
    for folder, _, names in os.walk(directory, onerror=_raise, followlinks=False):
        found += [Path(folder, name) for name in names if name.endswith(bundle.SUFFIX)]
        if len(found) > BUNDLES_MAX:
            raise TooLargeError(f"more than {BUNDLES_MAX} certificates in one directory")
    if not found:
        raise MalformedError(f"no certificate (*{bundle.SUFFIX}) in {show(str(directory), 200)}")
    return tuple(sorted(found))


def _raise(error: OSError) -> None:
    raise error


def _signed_by(file: bundle.Bundle, trust: tuple[PublicKey, ...]) -> PublicKey:
    """The trusted key that signed; the file's hint only says which to try first."""
    if file.envelope.payload_type != statement.PAYLOAD_TYPE:
        raise MalformedError("the certificate's payload is not an in-toto statement")
    message = dsse.pae(file.envelope.payload_type, file.envelope.payload)
    for key in sorted(trust, key=lambda one: one.key_id != file.key_hint):
        try:
            key.verify(file.envelope.signature, message)
        except SignatureInvalidError:
            continue
        return key
    raise NotAuthenticError("signature", "no trusted key signed this")


def _transcript(
    said: Predicate, station_key: PublicKey, trust: tuple[PublicKey, ...]
) -> tuple[Transcript, bool]:
    """The transcript, and whether only the station's word says that this is a bench's key."""
    bench_key = PublicKey.from_der(
        dsse.base64_bytes(said.bench_key.spki, 512, "the bench key"),
    )
    if bench_key.key_id == station_key.key_id:
        raise NotAuthenticError("bench-key", "station and bench signed with one and the same key")
    vouched = len(trust) == 1
    if not vouched and bench_key.key_id not in {key.key_id for key in trust}:
        raise NotAuthenticError("bench-key", "the bench key is not among the trusted keys")
    envelope = dsse.from_plain(said.transcript.model_dump(mode="json", by_alias=True))
    try:
        return open_transcript(envelope, bench_key), vouched
    except SignatureInvalidError:
        raise NotAuthenticError(
            "transcript", "the transcript inside is not signed by the bench key"
        ) from None


def _conclude(evidence: JobEvidence) -> Conclusion:
    """The verdict anew, at bounded cost."""
    strata = sum(
        profile.units
        for outcome in evidence.outcomes
        if outcome.verification is not None
        and isinstance(profile := outcome.verification.profile, Confidence)
    )
    if strata > STRATA_MAX:
        raise TooLargeError(f"the sample plan has {strata} units; at most {STRATA_MAX} are checked")
    try:
        return conclude(evidence)
    except (ValueError, ArithmeticError) as error:
        raise MalformedError(f"no verdict follows from the evidence: {error}"[:200]) from None


def _compare(
    plain: dict[str, Any], said: Predicate, transcript: Transcript, conclusion: Conclusion
) -> None:
    """Every repeated field against the transcript; the verdict first, by its own name."""
    if said.result is not conclusion.verdict:
        raise NotAuthenticError(
            "verdict", f"it says {said.result}; its own evidence gives {conclusion.verdict}"
        )
    evidence = transcript.evidence
    expected = projection.derived(transcript, conclusion)
    predicate = plain["predicate"]
    for path in _differences(expected, predicate, "predicate"):
        raise NotAuthenticError("field", f"{path} is not what the transcript says")
    for path in _differences(projection.subjects(transcript), plain["subject"][1:], "subject"):
        raise NotAuthenticError("field", f"{path} is not the drive of the transcript")
    told = (said.lot.data_category, said.lot.destination) if said.lot else (None, None)
    if told != (evidence.plan.data_category, evidence.plan.destination):
        raise NotAuthenticError("field", "lot: its data are not those the plan was made for")
    bay = projection.last_bay(evidence)
    if bay is not None and said.environment.bay != bay:
        raise NotAuthenticError("field", "environment.bay is not what the transcript says")
    wanted = projection.limitations(evidence.plan, said.environment.key_protection)
    if missing := [code for code in wanted if code not in said.limitations]:
        raise NotAuthenticError("field", f"limitation {missing[0]} is left out")


def _differences(expected: Any, given: Any, path: str) -> Iterator[str]:
    """Paths where `given` says something else. What it has besides is unknown to us, and kept.

    A field that is absent is the models' affair: they require all that version 1 has.
    """
    if isinstance(expected, dict) and isinstance(given, dict):
        for name, value in expected.items():
            if name in given:
                yield from _differences(value, given[name], f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(given, list) and len(expected) == len(given):
        for number, (value, other) in enumerate(zip(expected, given, strict=True)):
            yield from _differences(value, other, f"{path}.{number}")
    elif type(expected) is not type(given) or expected != given:
        yield path


def _key_names(said: Predicate, transcript: Transcript, key: PublicKey) -> Iterator[str]:
    """Notes on the key's name, after the rule for drives made of software (bench.md)."""
    name = said.environment.station_key_name
    names = {name, key.name} - {""}
    by_demo_key = all(one.startswith(DEMO_PREFIX) for one in names)
    if transcript.evidence.plan.simulated and not (names and by_demo_key):
        raise NotAuthenticError(
            "simulated", "a drive made of software, signed by a key for real drives"
        )
    if name.startswith(DEMO_PREFIX):
        yield NOTE_DEMO_KEY
    if key.name and key.name != name:
        yield NOTE_KEY_NAME
