"""Building and reading the statement that the station signs; its fields are in `predicate`."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from pydantic import ValidationError

from nullbay.certs import dsse, projection
from nullbay.certs.keys import PublicKey
from nullbay.certs.predicate import PREDICATE_TYPE, STATEMENT_TYPE, Predicate, Statement
from nullbay.certs.strictjson import read_json
from nullbay.domain.canonical import canonical_json
from nullbay.domain.errors import MalformedError, UnknownSchemaError
from nullbay.domain.lot import Lot
from nullbay.domain.record import RecordContext, Transcript
from nullbay.domain.text import show
from nullbay.domain.verdict import Conclusion

__all__ = [
    "PAYLOAD_TYPE",
    "Predicate",
    "Statement",
    "build",
    "json_schema",
    "read",
    "read_both",
    "schema_text",
]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_MAX_BYTES = dsse.PAYLOAD_MAX_BYTES


def build(
    context: RecordContext,
    transcript: Transcript,
    conclusion: Conclusion,
    *,
    station_key_name: str,
    key_protection: str = projection.SOFTWARE_KEY,
) -> bytes:
    """The canonical JSON of the statement, ready to be signed by the key of that name.

    Raises MalformedError or TooLargeError for a statement that no verifier would read.
    """
    payload = canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {
                    "name": _text(context.archive.name),
                    "digest": {"sha256": context.archive.sha256},
                },
                *projection.subjects(transcript),
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": _predicate(
                context,
                projection.derived(transcript, conclusion),
                projection.limitations(transcript.evidence.plan, key_protection),
                {"stationKeyName": _text(station_key_name), "keyProtection": key_protection},
            ),
        }
    )
    read(payload)
    return payload


def read(payload: bytes) -> Statement:
    """The statement a payload holds, by strict models. Success proves form, not truth.

    Raises MalformedError, TooLargeError, and UnknownSchemaError for another predicate type.
    """
    return read_both(payload)[0]


def read_both(payload: bytes) -> tuple[Statement, dict[str, Any]]:
    """The statement as models, and as the plain JSON value it was read from; raises as `read`."""
    plain = read_json(payload, STATEMENT_MAX_BYTES, "the statement")
    if not isinstance(plain, dict) or plain.get("_type") != STATEMENT_TYPE:
        raise MalformedError("this is not an in-toto Statement v1")
    if plain.get("predicateType") != PREDICATE_TYPE:
        raise UnknownSchemaError(
            f"the statement is not of predicate type {PREDICATE_TYPE}",
            next_step="Verify it with the tool that made it",
        )
    try:
        return Statement.model_validate_json(payload), plain
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = show(".".join(str(part) for part in first["loc"]), 120)
        raise MalformedError(f"the statement's {where}: {first['msg'][:160]}") from None


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the statement; `schemas/sanitization-v1.schema.json` holds it."""
    schema = Statement.model_json_schema(by_alias=True, mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": PREDICATE_TYPE,
        **schema,
    }


def schema_text() -> str:
    """The schema as its file holds it."""
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


def _predicate(
    context: RecordContext,
    derived: dict[str, Any],
    limitations: list[str],
    key: dict[str, Any],
) -> dict[str, Any]:
    return {
        **derived,
        "id": _text(context.statement_id),
        "nonce": context.nonce.hex(),
        "limitations": limitations,
        "organization": _text(context.organization),
        "lot": None if context.lot is None else _lot(context.lot),
        "destination": _text(context.destination),
        "attempt": {
            **derived["attempt"],
            "number": context.attempt,
            "previous": [_text(one) for one in context.previous],
        },
        "media": {
            **derived["media"],
            "assetTag": _text(context.asset_tag),
            "labelSerial": _text(context.label_serial),
        },
        "environment": {
            **derived["environment"],
            **key,
            "station": _text(context.station),
            "bay": projection.code(context.bay),
            "clock": {
                **derived["environment"]["clock"],
                "issuedAt": context.issued.at,
                "issuedBoottimeUs": str(context.issued.boottime_us),
                "issuedBootId": projection.code(context.issued.boot_id),
                "issuedSync": context.issued.sync.value,
            },
        },
        "chain": {
            "sequence": str(context.chain_sequence),
            "previous": context.chain_previous,
        },
        "people": [
            {
                "role": _text(person.role),
                "id": _text(person.person_id),
                "title": _text(person.title),
            }
            for person in context.people
        ],
        "benchKey": {
            "spki": base64.b64encode(PublicKey.from_pem(context.bench_public_key_pem).spki).decode()
        },
        "transcript": dsse.read(context.transcript_envelope).plain(),
    }


def _lot(lot: Lot) -> dict[str, Any]:
    return {
        "reference": _text(lot.reference),
        "customer": _text(lot.customer),
        "site": _text(lot.site),
        "source": _text(lot.source),
        "workOrder": _text(lot.work_order),
        "dataCategory": None if lot.data_category is None else lot.data_category.value,
        "destination": None if lot.destination is None else lot.destination.value,
    }


def _text(text: str) -> str:
    """What people wrote, in their script, without control characters, at most 200 characters."""
    return show(text, projection.TEXT_MAX)


if __name__ == "__main__":
    sys.stdout.write(schema_text())
