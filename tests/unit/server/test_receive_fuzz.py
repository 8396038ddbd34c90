"""What stations send, damaged in every way: refused with a code, and never believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.certs import delivery
from nullbay.domain.canonical import canonical_json
from nullbay.domain.errors import MalformedError
from nullbay.server.evidence import WrongDigestError
from nullbay.server.receive import (
    KnownStation,
    RefusedError,
    check_entry,
    check_record,
    check_status,
)
from support.centre import MadeStation

REFUSED = (RefusedError, MalformedError, WrongDigestError)
ONE = MadeStation()
KNOWN = KnownStation.of(ONE.settings())
RECORD = ONE.record()
STATUS = ONE.status()
ENTRY = delivery.encode_entry(ONE.name, RECORD.entries[0])


def entry(data: bytes) -> object:
    return check_entry(data, RECORD.entries[0].sha256, KNOWN, accept_simulated=False)


def record(data: bytes) -> object:
    return check_record(data, RECORD.name, KNOWN, accept_simulated=False)


def status(data: bytes) -> object:
    return check_status(data, ONE.name, accept_simulated=False)


CHECKS: list[tuple[Callable[[bytes], object], bytes]] = [
    (entry, ENTRY),
    (record, RECORD.bundle),
    (status, STATUS),
]


@pytest.mark.parametrize(("check", "good"), CHECKS)
def test_what_is_true_is_taken(check: Callable[[bytes], object], good: bytes) -> None:
    assert check(good) is not None


@given(st.sampled_from(CHECKS), st.binary(max_size=400))
def test_junk_is_refused(case: tuple[Callable[[bytes], object], bytes], data: bytes) -> None:
    with pytest.raises(REFUSED):
        case[0](data)


@given(st.sampled_from(CHECKS), st.integers(0, 2**20))
def test_what_is_cut_off_is_refused(
    case: tuple[Callable[[bytes], object], bytes], place: int
) -> None:
    check, good = case
    with pytest.raises(REFUSED):
        check(good[: place % len(good)])


@given(st.integers(0, 2**20), st.binary(min_size=1, max_size=4))
def test_a_changed_record_is_refused_or_the_same_record(place: int, change: bytes) -> None:
    at = place % len(RECORD.bundle)
    changed = RECORD.bundle[:at] + change + RECORD.bundle[at + len(change) :]
    try:
        made = check_record(changed, RECORD.name, KNOWN, accept_simulated=False)
    except REFUSED:
        return
    # The envelope is what is signed and named; the file around it (hints of keys) may vary.
    true = check_record(RECORD.bundle, RECORD.name, KNOWN, accept_simulated=False)
    assert made.statement_sha256 == true.statement_sha256
    assert made.verdict == true.verdict


def leaves(plain: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    match plain:
        case dict():
            return [leaf for key, one in plain.items() for leaf in leaves(one, (*path, key))]
        case list():
            return [leaf for key, one in enumerate(plain) for leaf in leaves(one, (*path, key))]
        case _:
            return [path]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.sampled_from([entry, status]), st.data())
def test_any_field_may_hold_anything(check: Callable[[bytes], object], data: st.DataObject) -> None:
    plain = json.loads(ENTRY if check is entry else STATUS)
    path = data.draw(st.sampled_from(leaves(plain)))
    at = plain
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = data.draw(JSON)
    raw = json.dumps(plain, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        made = check(raw)
    except REFUSED:
        return
    assert made is not None
    if check is entry:
        name, taken = delivery.decode_entry(raw)
        assert (name, taken.sha256) == (ONE.name, RECORD.entries[0].sha256)


def test_a_record_must_be_named_by_its_envelope() -> None:
    with pytest.raises(WrongDigestError):
        check_record(RECORD.bundle, "ab" * 32, KNOWN, accept_simulated=False)
    other = hashlib.sha256(canonical_json({})).hexdigest()
    with pytest.raises(WrongDigestError):
        check_entry(ENTRY, other, KNOWN, accept_simulated=False)
