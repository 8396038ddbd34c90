"""Figures that never flatter, and text that never does anything but stand there."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.certs import pdf_words as words
from nullbay.domain.drive import HiddenState
from nullbay.domain.lot import DataCategory, Destination
from nullbay.domain.method import MediaKind, Method, Technique, Transport
from nullbay.domain.outcome import Content, JobEnd, OutcomeKind, SessionEnd

SCALE = {"kB": 3, "MB": 6, "GB": 9, "TB": 12, "PB": 15, "EB": 18}


def value_of(told: str) -> Fraction:
    number, name = told.split(" ")
    return Fraction(number) * (10 ** SCALE[name] if name in SCALE else 1)


@pytest.mark.parametrize(
    ("size_bytes", "down", "up"),
    [
        (0, "0 bytes", "0 bytes"),
        (1, "1 byte", "1 byte"),
        (999, "999 bytes", "999 bytes"),
        (1000, "1.00 kB", "1.00 kB"),
        (22_528, "22.5 kB", "22.6 kB"),
        (67_108_864, "67.1 MB", "67.2 MB"),
        (999_999, "999 kB", "1.00 MB"),
        (999_999_999_999, "999 GB", "1.00 TB"),
        (4_000_787_030_016, "4.00 TB", "4.01 TB"),
        (2**64 - 1, "18.4 EB", "18.5 EB"),
    ],
)
def test_sizes_have_three_digits(size_bytes: int, down: str, up: str) -> None:
    assert words.human(size_bytes) == down
    assert words.human(size_bytes, upwards=True) == up


@given(st.integers(1000, 2**64))
def test_rounding_down_never_tells_more_and_rounding_up_never_less(size_bytes: int) -> None:
    down, up = words.human(size_bytes), words.human(size_bytes, upwards=True)
    assert value_of(down) <= size_bytes <= value_of(up)
    assert value_of(up) - value_of(down) <= Fraction(size_bytes, 99)
    assert sum(character.isdigit() for character in down) == 3


@pytest.mark.parametrize(
    ("part", "whole", "told"),
    [
        (5, 5, "100 %"),
        (9_999, 10_000, "99.9 %"),
        (406, 1000, "40.6 %"),
        (1, 10**9, "under 0.1 %"),
        (0, 7, "0 %"),
    ],
)
def test_a_hundred_percent_is_all_of_it(part: int, whole: int, told: str) -> None:
    assert words.percent(part, whole) == told


def test_a_part_is_told_with_its_whole() -> None:
    assert words.of_whole(2_000_000, 2_000_000) == "all 2.00 MB"
    assert words.of_whole(812_000, 2_000_000) == "812 kB of 2.00 MB (40.6 %)"
    assert words.of_whole(0, 2_000_000) == "none of 2.00 MB"


@pytest.mark.parametrize(
    ("given_text", "told"),
    [
        ("Müller & Söhne, Кунде", "Müller & Söhne, Кунде"),
        ("e\u0301", "é"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\u202eb\u200f", "a\\u202eb\\u200f"),
        ("\u65e5\U0001f4a9", "\\u65e5\\U0001f4a9"),
        ("\u05d0\ufb01", "\\u05d0\\ufb01"),
    ],
)
def test_what_the_fonts_cannot_draw_is_spelled_out(given_text: str, told: str) -> None:
    assert words.shown(given_text) == told


@given(st.text(max_size=60), st.integers(1, 40))
def test_shown_text_is_drawable_and_short(text: str, limit: int) -> None:
    told = words.shown(text, limit)
    assert set(told) <= words.DRAWABLE
    assert len(told) <= limit
    assert words.shown(told) == told


def test_times_are_utc_and_durations_forgive_a_clock_that_jumps() -> None:
    start, end = "2026-11-21T19:51:08.123456Z", "2026-11-22T01:03:09.000000Z"
    assert words.when(start) == "2026-11-21 19:51:08 UTC"
    assert words.when(None) == words.NOT_STATED
    assert words.duration(start, end) == "5 h 12 min"
    assert words.duration("2026-11-01T00:00:00.000000Z", end) == "21 d 1 h"
    assert words.duration(end, start) == ""
    assert words.duration("2026-02-31T00:00:00.000000Z", end) == ""


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        (words.METHODS, Method),
        (words.TECHNIQUES, Technique),
        (words.MEDIA, MediaKind),
        (words.TRANSPORTS, Transport),
        (words.OUTCOMES, OutcomeKind),
        (words.SESSION_ENDS, SessionEnd),
        (words.JOB_ENDS, JobEnd),
        (words.CONTENTS, Content),
        (words.HIDDEN_STATES, HiddenState),
        (words.CATEGORIES, DataCategory),
        (words.DESTINATIONS, Destination),
    ],
)
def test_every_code_has_words(table: Mapping[enum.Enum, str], codes: type[enum.Enum]) -> None:
    assert set(table) == set(codes)
    assert all(set(told) <= words.DRAWABLE for told in table.values())
    assert len(set(table.values())) == len(table)
