"""From transcript to certificate in one step, checked by our own verifier before it leaves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from nullbay.certs import bundle, keys, statement, transcript, verify
from nullbay.domain.ports import Signer
from nullbay.domain.record import RecordContext
from nullbay.domain.verdict import Conclusion, conclude


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate's file, the digest of its payload (the statement), and its verdict."""

    bundle: bytes
    statement_sha256: str
    conclusion: Conclusion


def issue(context: RecordContext, signer: Signer) -> Issued:
    """Conclude from the context's transcript, state it, sign it, and verify what was made.

    Raises what `verify` raises: a station hands out nothing that a stranger would refuse.
    """
    bench_key = keys.PublicKey.from_pem(context.bench_public_key_pem)
    evidence = transcript.read_transcript(context.transcript_envelope, bench_key)
    conclusion = conclude(evidence.evidence)
    payload = statement.build(context, evidence, conclusion, station_key_name=signer.key_name)
    made = bundle.make(payload, signer)
    verify.verify(made, (keys.PublicKey.from_pem(signer.public_key_pem), bench_key))
    return Issued(made, hashlib.sha256(payload).hexdigest(), conclusion)
