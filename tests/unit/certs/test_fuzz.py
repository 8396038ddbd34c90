"""Anything at all, given to the readers: fine or malformed, never another exception."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nullbay.certs import bundle, dsse, statement, transcript, verify
from nullbay.domain.canonical import canonical_json
from nullbay.domain.errors import MalformedError
from nullbay.domain.verdict import conclude
from support import evidence_factory as factory

GOOD = factory.certify()
RESUMED = factory.certify(factory.resumed_evidence())

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=20)
    | st.sampled_from(["0", "512", "18446744073709551615", "00" * 32, "full", "SANITIZED", "-1"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every value by what holds it and its key."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


def disturbed(data: st.DataObject, text: bytes) -> dict[str, Any]:
    """The document with one to three values exchanged for anything, or gone."""
    value: dict[str, Any] = json.loads(text)
    for _ in range(data.draw(st.integers(1, 3))):
        box, key = data.draw(st.sampled_from(list(places(value))))
        if isinstance(box, dict) and data.draw(st.booleans()):
            box.pop(key, None)
        elif isinstance(box, dict) or key < len(box):
            box[key] = data.draw(values)
    return value


@given(st.binary(max_size=400) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_bundle_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        bundle.read(data)


@given(st.data())
def test_any_disturbed_bundle_is_refused_or_means_the_same(data: st.DataObject) -> None:
    value = disturbed(data, GOOD.bundle)
    with contextlib.suppress(MalformedError, verify.NotAuthenticError):
        found = verify.verify(json.dumps(value).encode(), GOOD.trust)
        assert found == verify.verify(GOOD.bundle, GOOD.trust)


@given(st.data())
def test_any_disturbed_statement_is_read_or_malformed(data: st.DataObject) -> None:
    value = disturbed(data, RESUMED.payload)
    with contextlib.suppress(MalformedError):
        statement.read(json.dumps(value).encode())


@given(st.data())
def test_any_disturbed_statement_of_a_thief_is_refused_or_gives_the_same_verdict(
    data: st.DataObject,
) -> None:
    value = disturbed(data, RESUMED.payload)
    frame = json.loads(RESUMED.bundle)
    payload = json.dumps(value).encode()
    frame["dsseEnvelope"] = dsse.seal(statement.PAYLOAD_TYPE, payload, RESUMED.station).plain()
    with contextlib.suppress(MalformedError, verify.NotAuthenticError):
        found = verify.verify(json.dumps(frame).encode(), RESUMED.trust)
        assert found.transcript == RESUMED.transcript
        assert found.conclusion == RESUMED.conclusion


@given(st.data())
def test_what_the_bench_signed_gives_a_record_that_verifies_or_is_malformed(
    data: st.DataObject,
) -> None:
    """Even of evidence no bench would write: whatever can be stated is verified as stated."""
    plain = disturbed(data, dsse.read(RESUMED.envelope).payload)
    try:
        envelope = dsse.sign(transcript.PAYLOAD_TYPE, canonical_json(plain), RESUMED.bench)
        said = transcript.read_transcript(envelope, RESUMED.bench.public_key)
    except (MalformedError, ValueError):
        return
    with contextlib.suppress(MalformedError):
        conclusion = conclude(said.evidence)
        bay = said.evidence.sessions[-1].attachment.bay if said.evidence.sessions else ""
        name = "demo-7" if said.evidence.plan.simulated else "station-7"
        context = factory.context(envelope, RESUMED.bench, bay=bay or "")
        payload = statement.build(context, said, conclusion, station_key_name=name)
        station = factory.signer(name)
        made = bundle.make(payload, station)
        trust = (station.public_key, RESUMED.bench.public_key)
        assert verify.verify(made, trust).conclusion == conclusion
