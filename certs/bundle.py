"""The certificate's file: a Sigstore bundle v0.3 around one DSSE envelope, with a public key.

No transparency log entry stands in it yet; tools that complete bundles add fields, and whatever is
in the file besides what is read here is kept when it is written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nullbay.certs import dsse, keys, statement
from nullbay.certs.strictjson import read_json
from nullbay.domain.canonical import canonical_json
from nullbay.domain.errors import MalformedError, TooLargeError, UnknownSchemaError
from nullbay.domain.ports import Signer
from nullbay.domain.text import show

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_MAX_BYTES = 8 * 1024 * 1024
SUFFIX = ".sigstore.json"
HINT_MAX = 200


class WrongKeyError(keys.KeyFileError):
    """A statement names another key than the one that is to sign it."""

    code = "key.not-named-in-statement"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as read, nothing of it proved. `key_hint` is what the file says of the key.

    `plain` is the whole document, unknown fields among it.
    """

    envelope: dsse.Envelope
    key_hint: str
    plain: Mapping[str, Any]

    def encode(self) -> bytes:
        """The file again, with everything that was in it."""
        return canonical_json(dict(self.plain))


def make(payload: bytes, signer: Signer) -> bytes:
    """The bundle file of a statement, signed.

    Raises WrongKeyError unless the statement names this key, SimulatedKeyError where it may not
    sign for a drive made of software, TooLargeError where no verifier would read the file.
    """
    said = statement.read(payload).predicate
    if said.environment.station_key_name != signer.key_name:
        raise WrongKeyError(
            f"the statement names key {show(said.environment.station_key_name)!r}, "
            f"not {show(signer.key_name)!r}"
        )
    keys.require_fit(signer, simulated=said.simulated)
    made = canonical_json(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {
                "publicKey": {"hint": keys.PublicKey.from_pem(signer.public_key_pem).key_id}
            },
            "dsseEnvelope": dsse.seal(statement.PAYLOAD_TYPE, payload, signer).plain(),
        }
    )
    if len(made) > BUNDLE_MAX_BYTES:
        raise TooLargeError(f"a certificate of {len(made)} bytes; at most {BUNDLE_MAX_BYTES}")
    return made


def read(data: bytes) -> Bundle:
    """The bundle in `data`, unverified. Raises MalformedError and its kinds."""
    plain = read_json(data, BUNDLE_MAX_BYTES, "the certificate")
    if not isinstance(plain, dict):
        raise MalformedError("the certificate is not a Sigstore bundle")
    if plain.get("mediaType") != MEDIA_TYPE:
        raise UnknownSchemaError(
            f"the certificate is not of media type {MEDIA_TYPE}",
            next_step="Give the .sigstore.json file that the station wrote",
        )
    material = plain.get("verificationMaterial")
    public_key = material.get("publicKey") if isinstance(material, dict) else None
    hint = public_key.get("hint") if isinstance(public_key, dict) else None
    if not isinstance(hint, str) or len(hint) > HINT_MAX:
        raise MalformedError("the certificate does not say that it is checked with a public key")
    return Bundle(dsse.from_plain(plain.get("dsseEnvelope")), hint, MappingProxyType(plain))
