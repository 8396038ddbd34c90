"""Entries on their way to the centre, and its receipts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.certs import bundle, delivery, ledger
from nullbay.certs.keys import SignatureInvalidError
from nullbay.certs.ledger import LedgerBody, LedgerEntry
from nullbay.domain.canonical import canonical_json
from nullbay.domain.errors import MalformedError, TooLargeError, UnknownSchemaError
from nullbay.domain.lot import InsertionEnd
from nullbay.domain.record import Receipt
from support import evidence_factory as factory

STATION = factory.signer("station-7")
CENTRE = factory.signer("centre")
CLOSED = ledger.InsertionClosed("i-1", "aa" * 32, "", "A1", InsertionEnd.REMOVED, (), ())
ENTRIES = [
    ledger.append(None, LedgerBody(factory.stamp(0), ledger.StationEvent("started", "é")), STATION)
]
ENTRIES.append(ledger.append(ENTRIES[0], LedgerBody(factory.stamp(1), CLOSED), STATION))
RECEIPT = Receipt("ab" * 32, "bench-1", 2**60, "cd" * 32, factory.stamp(5))


@pytest.mark.parametrize("entry", ENTRIES, ids=["event", "milestone"])
def test_an_entry_comes_back_as_it_was(entry: LedgerEntry) -> None:
    assert delivery.decode_entry(delivery.encode_entry("bench-1", entry)) == ("bench-1", entry)


def test_a_delivered_entry_reads_as_the_contract_says() -> None:
    plain = json.loads(delivery.encode_entry("bench-1", ENTRIES[1]))
    assert set(plain) == {
        "schema", "station", "sequence", "previous", "body", "sha256", "envelope",
    }  # fmt: skip
    assert plain["schema"] == "nullbay.delivered-entry/1"
    assert plain["sequence"] == "2"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"sequence": "3"}, MalformedError),
        ({"sequence": "0"}, MalformedError),
        ({"sequence": 2}, MalformedError),
        ({"previous": "00" * 32}, MalformedError),
        ({"previous": "zz"}, MalformedError),
        ({"body": "e30="}, MalformedError),
        ({"body": "e30"}, MalformedError),
        ({"sha256": "11" * 32}, MalformedError),
        ({"station": ""}, MalformedError),
        ({"station": "x" * 121}, MalformedError),
        ({"envelope": "A" * 8192}, TooLargeError),
        ({"more": 1}, MalformedError),
        ({"schema": "nullbay.delivered-entry/2"}, UnknownSchemaError),
    ],
)
def test_a_changed_entry_is_refused(change: dict[str, object], error: type[Exception]) -> None:
    plain = json.loads(delivery.encode_entry("bench-1", ENTRIES[1])) | change
    with pytest.raises(error):
        delivery.decode_entry(canonical_json(plain))


def test_an_oversized_entry_is_not_parsed() -> None:
    with pytest.raises(TooLargeError):
        delivery.decode_entry(b" " * (delivery.ENTRY_MAX_BYTES + 1))


@given(st.binary(max_size=300))
def test_nothing_but_its_own_errors(data: bytes) -> None:
    for read in (
        delivery.decode_entry,
        delivery.envelope_sha256,
        lambda given: delivery.read_receipt(given, CENTRE.public_key),
    ):
        with pytest.raises(MalformedError):
            read(data)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=2))
def test_no_byte_of_an_entry_can_change_unseen(place: int, other: bytes) -> None:
    whole = delivery.encode_entry("bench-1", ENTRIES[1])
    at = place % len(whole)
    changed = whole[:at] + other + whole[at + len(other) :]
    try:
        station, entry = delivery.decode_entry(changed)
    except MalformedError:
        return
    # The station's name is compared with the token, the envelope is checked with its key.
    same = replace(entry, envelope=None)
    assert same == replace(ENTRIES[1], envelope=None)
    assert station != "bench-1" or entry.envelope != ENTRIES[1].envelope or changed == whole


def test_a_receipt_is_read_with_the_centres_key_alone() -> None:
    made = delivery.sign_receipt(RECEIPT, CENTRE)
    assert delivery.read_receipt(made, CENTRE.public_key) == RECEIPT
    with pytest.raises(SignatureInvalidError):
        delivery.read_receipt(made, STATION.public_key)
    with pytest.raises(TooLargeError):
        delivery.read_receipt(made + b" " * delivery.RECEIPT_MAX_BYTES, CENTRE.public_key)


def test_a_receipt_of_a_later_schema_is_refused() -> None:
    made = delivery.sign_receipt(replace(RECEIPT, schema="nullbay.receipt/2"), CENTRE)
    with pytest.raises(UnknownSchemaError):
        delivery.read_receipt(made, CENTRE.public_key)


def test_a_records_name_is_that_of_its_envelope() -> None:
    made = factory.certify()
    name = delivery.envelope_sha256(made.bundle)
    completed = dict(bundle.read(made.bundle).plain) | {"more": "from a log"}
    assert delivery.envelope_sha256(canonical_json(completed)) == name
    assert delivery.envelope_sha256(factory.certify().bundle) != name
