"""Messages: every kind goes through the codec and comes back; what is no message is refused."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.domain.codec import to_plain
from nullbay.domain.errors import MalformedError, NullbayError, TooLargeError, UnknownSchemaError
from nullbay.domain.outcome import (
    Exchange,
    OutcomeKind,
    ReadBack,
    SectorList,
    StepOutcome,
    VerificationResult,
)
from nullbay.domain.plan import Refusal
from nullbay.domain.policy import Full
from nullbay.domain.ranges import ByteRange
from nullbay.wipers import protocol as p
from support.jobs import CLEAR, DOD, DRIVE, MIB, moment, plan_for

NOW = moment(1)
RESULT = VerificationResult(
    Full(), b"\0" * 32, NOW, "00", 1, 1, "direct", 0, (), SectorList(), 0, NOW
)
SO_FAR = p.StepSoFar(
    1, (ByteRange(0, MIB),), ByteRange(0, MIB), NOW, SectorList(1, (2**63,)), 2**64 - 1
)
MESSAGES: tuple[Any, ...] = (
    p.Hello(p.PROTOCOL, "1"),
    p.Open("/dev/sdx"),
    p.Execute(plan_for(CLEAR), b"k" * 32, b"f" * 32, 1, SO_FAR, True, False, 2**63),
    p.Execute(plan_for(DOD), b"k" * 32, b"f" * 32, 2, None, False, True, 0),
    p.Recheck(plan_for(CLEAR), b"k" * 32, b"f" * 32, 1, Full(), b""),
    p.Acknowledged(1),
    p.Pause(),
    p.Continue(),
    p.Abort(),
    p.SetRate(0),
    p.Close(),
    p.Opened(DRIVE),
    p.Refused((Refusal("guard.mounted", "/"),)),
    p.Rechecked(RESULT, ""),
    p.Resuming(ReadBack(64, 63, last_flushed_included=True), from_zero=True),
    p.Resuming(None, from_zero=False),
    p.Intent(1, NOW),
    p.RangesFlushed(1, (ByteRange(0, 1), ByteRange(2, 2**63)), NOW),
    p.SectorUnwritable(1, 2**63, "EIO"),
    p.Exchanged(Exchange(1, NOW, "disk", "identity", "00", "")),
    p.Progress(1, 1, "write", 1, 2, 3, None, 0, -5, ("operator",)),
    p.StepOver(StepOutcome(1, OutcomeKind.SUCCEEDED, (), NOW, NOW, verification=RESULT)),
    p.SessionDone("finished", "", DRIVE, NOW),
)
ORDERS, WORDS = get_args(p.ToDrive), get_args(p.FromDrive)


def direction_of(message: Any) -> Any:
    return p.ToDrive if type(message) in ORDERS else p.FromDrive


def read(frame: bytes, direction: Any) -> Any:
    length = p.frame_length(frame[: p.LENGTH_BYTES])
    assert length == len(frame) - p.LENGTH_BYTES
    return p.decode(frame[p.LENGTH_BYTES :], direction)


def test_every_kind_is_here() -> None:
    assert {type(one) for one in MESSAGES} == {*ORDERS, *WORDS}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: one.kind)
def test_a_message_comes_back_as_it_went(message: Any) -> None:
    assert read(p.encode(message), direction_of(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: one.kind)
def test_a_message_of_the_other_direction_is_refused(message: Any) -> None:
    if isinstance(message, p.Hello):
        return
    wrong = p.FromDrive if direction_of(message) is p.ToDrive else p.ToDrive
    with pytest.raises(MalformedError):
        read(p.encode(message), wrong)


def changed(draw: st.DrawFn, value: Any) -> Any:
    """The value with something in it replaced, left out or added."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        what = draw(st.sampled_from(["into", "drop", "add"]))
        if what == "drop":
            return {name: item for name, item in value.items() if name != key}
        if what == "add":
            return {**value, draw(st.text(max_size=5)): draw(junk)}
        return {**value, key: changed(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], changed(draw, value[at]), *value[at + 1 :]]
    return draw(junk)


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["18446744073709551616", "-1", "01", "finished", "ff", "FF"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def almost_messages(draw: st.DrawFn) -> tuple[bytes, Any]:
    """The body of a message in which something was changed, and its direction."""
    message = draw(st.sampled_from(MESSAGES))
    plain = changed(draw, json.loads(json.dumps(to_plain(message))))
    return json.dumps(plain).encode("utf-8", "surrogatepass"), direction_of(message)


@given(almost_messages())
def test_an_almost_message_is_refused_or_is_one(body_and_direction: tuple[bytes, Any]) -> None:
    """Nothing but our own errors comes out; what is taken in can be sent on unchanged."""
    body, direction = body_and_direction
    try:
        message = p.decode(body, direction)
    except NullbayError:
        return
    assert read(p.encode(message), direction) == message


@given(st.binary(max_size=200), st.sampled_from([p.ToDrive, p.FromDrive]))
def test_any_bytes_are_refused_or_are_a_message(body: bytes, direction: Any) -> None:
    try:
        p.decode(body, direction)
    except MalformedError:
        return
    raise AssertionError(body)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"NaN"])
def test_what_a_parser_stumbles_over_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        p.decode(body, p.FromDrive)


def test_nothing_is_sent_or_read_beyond_the_cap() -> None:
    with pytest.raises(TooLargeError):
        p.encode(p.Open("x" * p.FRAME_MAX_BYTES))
    room = p.FRAME_MAX_BYTES - len(p.encode(p.Open(""))) + p.LENGTH_BYTES
    assert len(p.encode(p.Open("x" * room))) == p.FRAME_MAX_BYTES + p.LENGTH_BYTES
    assert p.frame_length(p.FRAME_MAX_BYTES.to_bytes(4, "big")) == p.FRAME_MAX_BYTES
    with pytest.raises(TooLargeError):
        p.frame_length((p.FRAME_MAX_BYTES + 1).to_bytes(4, "big"))


def test_only_the_protocol_of_this_build_is_spoken() -> None:
    assert p.require_hello(p.Hello(p.PROTOCOL, "any")).build == "any"
    for message in (p.Hello("nullbay.drive-process/2", "1"), p.Close(), None):
        with pytest.raises(UnknownSchemaError):
            p.require_hello(message)
