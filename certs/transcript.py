"""The bench's transcript: job evidence under the bench key, from which a verdict is recomputed.

Made by the process that saw the drive, before the station knows of it. Its JSON is canonical and
read back only in exactly that form: what a field that is missing, doubled or spelled differently
would mean is never asked.
"""

from __future__ import annotations

from typing import cast

from nullbay.certs import dsse, keys
from nullbay.certs.strictjson import read_json
from nullbay.domain.canonical import canonical_json
from nullbay.domain.codec import from_plain, to_plain
from nullbay.domain.errors import MalformedError, UnknownSchemaError
from nullbay.domain.ports import Signer
from nullbay.domain.record import TRANSCRIPT_SCHEMA, Transcript

PAYLOAD_TYPE = "application/vnd.nullbay.transcript+json"
EVIDENCE_SCHEMA = "nullbay.job-evidence/1"
PLAN_SCHEMA = "nullbay.plan/1"


def sign_transcript(transcript: Transcript, signer: Signer) -> bytes:
    """The transcript as a DSSE envelope in JSON, signed by the bench key.

    Raises SimulatedKeyError where a drive made of software would get a real key's signature, and
    MalformedError for a transcript that could not be read back.
    """
    keys.require_fit(signer, simulated=transcript.evidence.plan.simulated)
    payload = _encoded(transcript)
    _decoded(payload)
    return dsse.sign(PAYLOAD_TYPE, payload, signer)


def read_transcript(envelope: bytes, bench_key: keys.PublicKey) -> Transcript:
    """The transcript of an envelope. Success proves that `bench_key` signed exactly this.

    Raises MalformedError, UnknownSchemaError, and SignatureInvalidError.
    """
    return open_transcript(dsse.read(envelope), bench_key)


def open_transcript(envelope: dsse.Envelope, bench_key: keys.PublicKey) -> Transcript:
    """The same for an envelope already read."""
    return _decoded(envelope.require(bench_key, PAYLOAD_TYPE))


def _decoded(payload: bytes) -> Transcript:
    plain = read_json(payload, dsse.PAYLOAD_MAX_BYTES, "the transcript")
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema != TRANSCRIPT_SCHEMA:
        raise UnknownSchemaError(
            f"the transcript is not of schema {TRANSCRIPT_SCHEMA}",
            next_step="Verify it with the nullbay that made it, or a newer one",
        )
    transcript = cast("Transcript", from_plain(Transcript, plain, "$"))
    evidence = transcript.evidence
    if (evidence.schema, evidence.plan.schema) != (EVIDENCE_SCHEMA, PLAN_SCHEMA):
        raise UnknownSchemaError(f"the evidence is not of {EVIDENCE_SCHEMA} with {PLAN_SCHEMA}")
    if _encoded(transcript) != payload:
        raise MalformedError("the transcript is not in canonical form")
    return transcript


def _encoded(transcript: Transcript) -> bytes:
    try:
        return canonical_json(to_plain(transcript))
    except (ValueError, TypeError) as error:
        raise MalformedError(f"the transcript has no canonical form: {error}"[:300]) from None
