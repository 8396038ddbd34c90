"""Envelopes and the JSON they are written in: one reading or none."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.certs import dsse, keys
from nullbay.certs.strictjson import DEPTH_MAX, read_json
from nullbay.domain.errors import MalformedError, TooLargeError
from support import evidence_factory as factory

KEY = factory.signer()
TYPE = "application/vnd.example+json"


def test_the_encoding_is_that_of_the_specification() -> None:
    """The worked example of the DSSE specification, protocol.md."""
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == expected


@given(st.text(max_size=20), st.binary(max_size=40), st.text(max_size=20), st.binary(max_size=40))
def test_no_two_payloads_share_an_encoding(a: str, x: bytes, b: str, y: bytes) -> None:
    assert (dsse.pae(a, x) == dsse.pae(b, y)) == ((a, x) == (b, y))


@given(st.binary(max_size=500))
def test_what_is_signed_is_read_back(payload: bytes) -> None:
    envelope = dsse.read(dsse.sign(TYPE, payload, KEY))
    assert envelope.require(KEY.public_key, TYPE) == payload


def test_the_type_is_signed_too() -> None:
    signed = dsse.sign(TYPE, b"payload", KEY)
    envelope = dsse.read(signed.replace(b"vnd.example", b"vnd.another"))
    with pytest.raises(MalformedError, match="type"):
        envelope.require(KEY.public_key, TYPE)
    with pytest.raises(keys.SignatureInvalidError):
        envelope.require(KEY.public_key, "application/vnd.another+json")


def plain() -> dict[str, object]:
    value = json.loads(dsse.sign(TYPE, b"payload\xff\xfe", KEY))
    assert isinstance(value, dict)
    return value


def sig(value: object) -> str:
    assert isinstance(value, dict)
    return str(value["signatures"][0]["sig"])


@pytest.mark.parametrize(
    "change",
    [
        {"signatures": []},
        {"signatures": [{"sig": sig(plain())}, {"sig": sig(plain())}]},
        {"signatures": [{"sig": sig(plain()), "keyid": "abcd"}]},
        {"signatures": [{"sig": sig(plain()), "keyid": None}]},
        {"signatures": [sig(plain())]},
        {"signatures": {"sig": sig(plain())}},
        {"signatures": [{"sig": sig(plain()) + "\n"}]},
        {"signatures": [{"sig": sig(plain()).rstrip("=") + "="[:0] + "!"}]},
        {"signatures": [{"sig": "A" * 400}]},
        {"payload": "cGF5bG9hZP_-"},  # the other alphabet
        {"payload": "cGF5 bG9hZA=="},
        {"payload": "cGF5bG9hZA="},
        {"payload": "cGF5bG9hZB=="},  # unused bits set
        {"payload": "cGF5bG9hZA==AAAA"},
        {"payload": "é"},
        {"payload": 5},
        {"payload": None},
        {"payloadType": ""},
        {"payloadType": 7},
        {"payloadType": "x" * 129},
    ],
)
def test_other_spellings_are_malformed(change: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        dsse.read(json.dumps(plain() | change).encode())


def test_an_empty_key_id_and_unknown_fields_are_fine() -> None:
    value = plain()
    value["signatures"] = [{"sig": sig(value), "keyid": "", "note": 1}]
    value["more"] = {"a": [1]}
    assert dsse.read(json.dumps(value).encode()).require(KEY.public_key, TYPE)


def test_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsse, "PAYLOAD_MAX_BYTES", 100)
    with pytest.raises(TooLargeError):
        dsse.sign(TYPE, b"x" * 101, KEY)
    assert len(dsse.read(dsse.sign(TYPE, b"x" * 100, KEY)).payload) == 100
    longer = plain() | {"payload": base64.b64encode(b"x" * 103).decode()}
    with pytest.raises(TooLargeError):
        dsse.read(json.dumps(longer).encode())
    monkeypatch.setattr(dsse, "ENVELOPE_MAX_BYTES", 50)
    with pytest.raises(TooLargeError):
        dsse.read(b" " * 51)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_envelope_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        dsse.read(data)


@given(
    st.fixed_dictionaries(
        {
            "payload": st.text() | json_values,
            "payloadType": st.text() | json_values,
            "signatures": json_values
            | st.lists(st.dictionaries(st.sampled_from(["sig", "keyid"]), st.text())),
        }
    )
)
def test_any_object_is_an_envelope_or_malformed(value: dict[str, object]) -> None:
    with contextlib.suppress(MalformedError):
        dsse.read(json.dumps(value).encode())


# --- JSON --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"x":{"a":1,"\\u0061":2}}',
        "1.0",
        "1e3",
        "-0",
        "NaN",
        "-Infinity",
        str(2**53),
        "9" * 5000,
        '"\\ud800"',
        '{"\\udfff":1}',
        "[" * 70 + "]" * 70,
        "[" * 100_000,
        '{"a":' * 100_000,
        "\ufeff{}",
        "{} {}",
        "",
        "{'a':1}",
        '"\x01"',
    ],
)
def test_json_on_which_readers_disagree_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        read_json(text.encode(), 10**6, "it")


@pytest.mark.parametrize("data", [b"\xff", b'"\xed\xa0\x80"', b'"\xc0\x80"', b"{\x00}"])
def test_bytes_that_are_no_utf8_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        read_json(data, 100, "it")


def test_json_at_its_limits_is_read() -> None:
    deep = "[" * DEPTH_MAX + "]" * DEPTH_MAX
    assert json.dumps(read_json(deep.encode(), 1000, "it")) == deep
    pair = '"\\ud83d\\ude00\\\\ud800"'
    assert read_json(pair.encode(), 100, "it") == "😀\\ud800"
    assert read_json(str(2**53 - 1).encode(), 100, "it") == 2**53 - 1
    with pytest.raises(TooLargeError):
        read_json(b"1" * 11, 10, "it")
