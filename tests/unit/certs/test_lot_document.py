"""Lot documents: what a station tells of a lot comes back as it was, or not at all."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.certs import lot_document
from nullbay.certs.ledger import StationEvent
from nullbay.certs.lot_document import LotDocument, LotEvent, code_of, named_by, note_of
from nullbay.domain.canonical import canonical_json
from nullbay.domain.errors import MalformedError, TooLargeError, UnknownSchemaError
from nullbay.domain.ids import BayId, LotRef
from nullbay.domain.intake import LotClosed, LotOpened, ManifestRow, ManifestTaken
from nullbay.domain.lot import DataCategory, Destination, Lot, Person
from support import evidence_factory as factory

BY = Person("operator", "op-1", "technician")
AT = factory.stamp(3)
OPENED = LotOpened(factory.LOT, (BayId("A1"),), BY, AT)
MANIFEST = ManifestTaken(
    LotRef("LOT-1"),
    "pallet.csv",
    "ab" * 32,
    (ManifestRow(2, "S-1", "T-1", "M"), ManifestRow(3, "", "T-2", "")),
    BY,
    AT,
)
CLOSED = LotClosed(LotRef("LOT-1"), BY, AT)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
named = texts.filter(lambda one: bool(one.strip()))
people = st.builds(Person, texts, texts, texts)
lots = st.builds(
    Lot,
    named.map(LotRef),
    texts,
    texts,
    texts,
    texts,
    st.none() | st.sampled_from(DataCategory),
    st.none() | st.sampled_from(Destination),
)
rows = st.lists(
    st.builds(ManifestRow, st.integers(1, 1000), named, texts, texts),
    max_size=5,
    unique_by=lambda row: row.line,
).map(tuple)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
events: st.SearchStrategy[LotEvent] = st.one_of(
    st.builds(LotOpened, lots, st.lists(texts.map(BayId), max_size=3).map(tuple), people,
              st.just(AT)),
    st.builds(LotClosed, named.map(LotRef), people, st.just(AT)),
    st.builds(ManifestTaken, named.map(LotRef), texts, digests, rows, people, st.just(AT)),
)  # fmt: skip


@given(events)
def test_a_document_comes_back_as_it_was_and_its_note_names_it(event: LotEvent) -> None:
    document = LotDocument("bench-1", event)
    data = document.encode()
    assert lot_document.read(data) == document
    note = named_by(note_of(document, data))
    assert note is not None
    assert note.document == hashlib.sha256(data).hexdigest()
    assert (note.reference, note.manifest) == (document.reference, document.manifest_sha256)


@pytest.mark.parametrize(
    ("event", "code", "manifest"),
    [(OPENED, "lot.opened", ""), (CLOSED, "lot.closed", ""), (MANIFEST, "lot.manifest", "ab" * 32)],
)
def test_the_ledger_says_little_and_names_the_rest(
    event: LotEvent, code: str, manifest: str
) -> None:
    document = LotDocument("bench-1", event)
    said = note_of(document, document.encode())
    assert said.code == code_of(document) == code
    plain = json.loads(said.detail)
    assert set(plain) == {"schema", "reference", "document", "manifest"}
    assert plain["manifest"] == manifest
    assert len(said.detail) < 300


def changed(**event: object) -> dict[str, Any]:
    plain = json.loads(LotDocument("bench-1", MANIFEST).encode())
    plain["event"] |= event
    return dict(plain)


ROW = {"line": 2, "serial": "S-1", "asset_tag": "", "model": ""}


@pytest.mark.parametrize(
    "plain",
    [
        changed() | {"station": ""},
        changed() | {"station": "x" * 121},
        changed() | {"more": 1},
        changed(reference=" "),
        changed(reference="x" * 401),
        changed(sha256="AB" * 32),
        changed(kind="scanned"),
        changed(rows=[ROW, ROW]),
        changed(rows=[ROW | {"line": 0}]),
        changed(rows=[ROW | {"line": "2"}]),
        changed(rows=[ROW | {"serial": "x" * 401}]),
        changed(rows=[ROW | {"serial": ""}]),
        changed(rows=[ROW | {"more": ""}]),
    ],
)
def test_a_changed_document_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        lot_document.read(canonical_json(plain))


def test_another_form_of_the_same_words_is_refused() -> None:
    data = LotDocument("bench-1", MANIFEST).encode()
    with pytest.raises(MalformedError):
        lot_document.read(json.dumps(json.loads(data)).encode())


def test_a_newer_schema_is_told_apart() -> None:
    with pytest.raises(UnknownSchemaError):
        lot_document.read(canonical_json(changed() | {"schema": "nullbay.lot-document/2"}))


def test_an_oversized_document_is_not_parsed() -> None:
    with pytest.raises(TooLargeError):
        lot_document.read(b"[" * (lot_document.DOCUMENT_MAX_BYTES + 1))


@given(st.binary(max_size=300))
def test_nothing_but_its_own_errors(data: bytes) -> None:
    with pytest.raises(MalformedError):
        lot_document.read(data)


@given(texts)
def test_what_names_no_document_is_no_note(detail: str) -> None:
    assert named_by(StationEvent("lot.opened", detail)) is None
    said = note_of(LotDocument("bench-1", OPENED), LotDocument("bench-1", OPENED).encode())
    assert named_by(StationEvent("station.started", said.detail)) is None
    newer = said.detail.replace("lot-note/1", "lot-note/2")
    assert named_by(StationEvent("lot.opened", newer)) is None
