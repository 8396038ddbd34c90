"""DSSE: Dead Simple Signing Envelope v1.0, one signature, read strictly.

The signature is over PAE(payloadType, payload): bytes, never over JSON, so nothing is canonicalised
before it is checked. Verifiers in the field (cosign among them) accept exactly one signature and
no `keyid` (reference/evidence.md 3.2); neither is written here, and nothing else is read.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from nullbay.certs.keys import PublicKey
from nullbay.certs.strictjson import read_json
from nullbay.domain.canonical import canonical_json
from nullbay.domain.errors import MalformedError, TooLargeError
from nullbay.domain.ports import Signer

ENVELOPE_MAX_BYTES = 8 * 1024 * 1024
PAYLOAD_MAX_BYTES = 6 * 1024 * 1024
SIGNATURE_MAX_BYTES = 256
PAYLOAD_TYPE_MAX = 128


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, its type and one signature in DER. Reading one proves nothing; `require` does."""

    payload_type: str
    payload: bytes
    signature: bytes

    def require(self, key: PublicKey, payload_type: str) -> bytes:
        """The payload, if it is of that type and signed by that key.

        Raises MalformedError for another type, SignatureInvalidError for another signer.
        """
        if self.payload_type != payload_type:
            raise MalformedError(f"expected a payload of type {payload_type}")
        key.verify(self.signature, pae(self.payload_type, self.payload))
        return self.payload

    def plain(self) -> dict[str, Any]:
        """As JSON, to be written alone or embedded."""
        return {
            "payload": base64.b64encode(self.payload).decode("ascii"),
            "payloadType": self.payload_type,
            "signatures": [{"sig": base64.b64encode(self.signature).decode("ascii")}],
        }


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: what is signed. Lengths are decimal, in bytes."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload_type: str, payload: bytes, signer: Signer) -> Envelope:
    """Sign a payload. Raises TooLargeError for one that no reader here would accept."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        raise TooLargeError(f"a payload of {len(payload)} bytes; at most {PAYLOAD_MAX_BYTES}")
    return Envelope(payload_type, payload, signer.sign(pae(payload_type, payload)))


def sign(payload_type: str, payload: bytes, signer: Signer) -> bytes:
    """A signed envelope in JSON."""
    return canonical_json(seal(payload_type, payload, signer).plain())


def read(data: bytes) -> Envelope:
    """The envelope that `data` holds, unverified. Raises MalformedError, TooLargeError."""
    return from_plain(read_json(data, ENVELOPE_MAX_BYTES, "the envelope"))


def from_plain(plain: Any) -> Envelope:
    """The envelope of a JSON value that `read_json` has read. Raises MalformedError."""
    if not isinstance(plain, dict):
        raise MalformedError("the envelope is not an object")
    signatures = plain.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise MalformedError("an envelope here has exactly one signature")
    if not isinstance(signatures[0], dict) or signatures[0].get("keyid", "") != "":
        raise MalformedError("the signature is not an object without key id")
    payload_type = plain.get("payloadType")
    if not isinstance(payload_type, str) or not 0 < len(payload_type) <= PAYLOAD_TYPE_MAX:
        raise MalformedError("the envelope has no payload type")
    return Envelope(
        payload_type,
        base64_bytes(plain.get("payload"), PAYLOAD_MAX_BYTES, "payload"),
        base64_bytes(signatures[0].get("sig"), SIGNATURE_MAX_BYTES, "signature"),
    )


def base64_bytes(text: object, cap: int, what: str) -> bytes:
    """Standard base64 with padding, in its one canonical spelling, of at most `cap` bytes.

    Raises MalformedError; another spelling of the same bytes is refused: a file has one form.
    """
    if not isinstance(text, str):
        raise MalformedError(f"{what} is not base64 text")
    if len(text) > (cap + 2) // 3 * 4:
        raise TooLargeError(f"{what} is more than {cap} bytes")
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise MalformedError(f"{what} is not standard base64") from None
    if binascii.b2a_base64(data, newline=False) != text.encode("ascii"):
        raise MalformedError(f"{what} is not base64 in its canonical spelling")
    return data
