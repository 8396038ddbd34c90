"""What people see of what drives say."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nullbay.domain.text import RAW_MAX_BYTES, SHOWN_MAX_CHARACTERS, RawText, show

ANY = st.binary(max_size=300) | st.text(st.characters(), max_size=200)
NASTY = [
    b"\x1b]0;owned\x07\x1b[2J",
    b"$(reboot); `id` && rm -rf / | tee 'x' \"y\"",
    b"A" * 200,
    b"\xff\xfe\x00\x80",
    "\u202egpj.exe".encode(),
    "e\u0301\u0327".encode(),
    "\u2028\u2029\x85\u00a0\u3000".encode(),
    "\u115f\u1160\u3164\uffa0\u2800".encode(),
    "אבג 123".encode(),
    b"line\r\nline",
    b"<b>&amp;",
    b"\\x41",
    "…".encode(),
    "\U000e0041\ufeff\u200b\u00ad\ue000".encode(),
]


@given(ANY, st.integers(4, 90))
@example(NASTY[0], 64)
def test_shown_is_safe_and_bounded(raw: bytes | str, limit: int) -> None:
    shown = show(raw, limit)
    assert len(shown) <= limit
    for character in shown:
        assert character.isprintable()
        assert unicodedata.category(character)[0] not in "CM"  # control, format, combining
        assert unicodedata.bidirectional(character) not in {"R", "AL", "AN", "RLO", "LRO", "RLI"}
    assert shown == "" or shown.splitlines() == [shown]
    shown.encode()


@pytest.mark.parametrize("raw", NASTY)
def test_hostile_serials(raw: bytes) -> None:
    text = RawText.of(raw)
    assert text.shown.isprintable()
    assert len(text.shown) <= SHOWN_MAX_CHARACTERS
    assert text.raw == raw[:RAW_MAX_BYTES]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"WD-WX11 A1", "WD-WX11 A1"),
        (b"", ""),
        (b"a\x00b\x1b\x7f", r"a\x00b\x1b\x7f"),
        (b"\xff\x80", r"\xff\x80"),
        ("\u0085".encode(), r"\u0085"),
        ("\u0080".encode(), r"\u0080"),
        ("\uffff".encode(), r"\uffff"),
        ("\U0001ffff".encode(), r"\U0001ffff"),
        ("\udd00\udc7f", r"\udd00\udc7f"),
        (b"\\xff", r"\\xff"),
        (b"C:\\", "C:\\\\"),
        ("µ Ω é 東".encode(), "µ Ω é 東"),
        ("e\u0301".encode(), r"e\u0301"),
        ("\u202e…\u2800".encode(), r"\u202e\u2026\u2800"),
        ("\U000e0041".encode(), r"\U000e0041"),
        ("\udc80\ud800", r"\x80\ud800"),
        (b"x" * 64, "x" * 64),
        (b"x" * 65, "x" * 63 + "…"),
        (b"x" * 62 + b"\x00", "x" * 62 + "…"),
        (b"x" * 60 + b"\x00", "x" * 60 + r"\x00"),
        (b"x" * 61 + b"\x00", "x" * 61 + "…"),
        (b"x" * 59 + b"\x00y", "x" * 59 + r"\x00y"),
        (b"x" * 60 + b"\x00y", "x" * 60 + "…"),
        (b"\x00" * 16, r"\x00" * 16),
        (b"\x00" * 17, r"\x00" * 15 + "…"),
    ],
)
def test_shown(raw: bytes | str, shown: str) -> None:
    assert show(raw) == shown


def unescaped(shown: str) -> bytes:
    """Back from what is shown, to prove that it can be."""
    raw, at = bytearray(), 0
    lengths = {"x": 2, "u": 4, "U": 8}
    while at < len(shown):
        if shown[at] != "\\":
            raw += shown[at].encode()
            at += 1
        elif shown[at + 1] == "\\":
            raw += b"\\"
            at += 2
        else:
            kind = shown[at + 1]
            digits = shown[at + 2 : at + 2 + lengths[kind]]
            raw += bytes.fromhex(digits) if kind == "x" else chr(int(digits, 16)).encode()
            at += 2 + lengths[kind]
    return bytes(raw)


@given(st.binary(max_size=60) | st.text(max_size=30).map(str.encode))
@example(b"\\x41")
@example(b"\xc2\x85")
@example(b"\x85")
def test_what_is_not_cut_is_unambiguous(raw: bytes) -> None:
    shown = show(raw, 1000)
    assert unescaped(shown) == raw


@given(st.binary(max_size=200))
def test_what_is_cut_says_so(raw: bytes) -> None:
    shown, whole = show(raw), show(raw, 10_000)
    assert shown == whole or (shown[-1] == "…" and whole.startswith(shown[:-1]))
    assert ("…" in shown) == (shown != whole)


# --- RawText -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "raw"),
    [
        ("  WD-1\x00\x00 ", b"WD-1"),
        (b"\t\r\nS 1  ", b"S 1"),
        ("\udcff\udc00", None),
        ("ü", "ü".encode()),
        ("\udcfe", b"\xfe"),
        (b"A" * 5000, b"A" * 1024),
        ("   ", b""),
    ],
)
def test_padding_is_stripped_and_length_capped(given_: bytes | str, raw: bytes | None) -> None:
    text = RawText.of(given_)
    if raw is not None:
        assert text.raw == raw
    assert RawText.of(text.raw) == text


@given(ANY)
def test_any_string_can_be_kept(given_: bytes | str) -> None:
    text = RawText.of(given_)
    assert len(text.raw) <= RAW_MAX_BYTES
    assert len(text.shown) <= SHOWN_MAX_CHARACTERS


@pytest.mark.parametrize("raw", [b"", b"  ", b"\x00\x00", b"\r\n\t"])
def test_padding_alone_is_nothing(raw: bytes) -> None:
    assert not RawText(raw)
    assert not RawText(raw).is_plain


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b"WD-WX11A1", True),
        (b"S 1", True),
        (b"x" * 64, True),
        (b"x" * 65, False),
        ("µ".encode(), False),
        (b"a\\b", False),
        (b"a\x00b", False),
        (b"\xff", False),
    ],
)
def test_what_a_person_can_type(raw: bytes, plain: bool) -> None:
    assert RawText(raw).is_plain is plain
