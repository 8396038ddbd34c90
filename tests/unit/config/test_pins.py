from __future__ import annotations

import os
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.config.pins import FILE_NAME, PINS_MAX, Pin, read_pins, write_pins
from nullbay.config.problems import ConfigError
from nullbay.config.settings import load

ONE = Pin("naa.5000c500", "ZA1", 'ST "x" \\ 1')
PARTS = st.text(max_size=40)
PINS = st.lists(st.builds(Pin, PARTS, PARTS, PARTS).filter(lambda p: bool(p.wwn or p.serial)))


@given(PINS)
def test_pins_come_back_as_they_were_written(pins: list[Pin]) -> None:
    with TemporaryDirectory() as folder:
        write_pins(Path(folder), pins)
        assert read_pins(Path(folder)) == tuple(dict.fromkeys(pins))
        assert [path.name for path in Path(folder).iterdir()] == [FILE_NAME]


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    write_pins(tmp_path, [ONE])
    written = tomllib.loads((tmp_path / "pins.toml").read_text("ascii"))
    assert written == {
        "schema": "nullbay.pins/1",
        "pin": [{"wwn": ONE.wwn, "serial": ONE.serial, "model": ONE.model}],
    }
    assert (tmp_path / "pins.toml").stat().st_mode & 0o777 == 0o644


def test_nothing_pinned_yet_is_no_error(tmp_path: Path) -> None:
    assert read_pins(tmp_path) == ()
    assert read_pins(tmp_path / "missing") == ()
    write_pins(tmp_path, [])
    assert read_pins(tmp_path) == ()


def test_writing_replaces_and_a_refusal_changes_nothing(tmp_path: Path) -> None:
    write_pins(tmp_path, [ONE, Pin("", "B", "")])
    write_pins(tmp_path, [ONE])
    assert read_pins(tmp_path) == (ONE,)
    nameless = [Pin("", "", "model")]
    too_long = [Pin("", "x" * 257, "")]
    too_many = [Pin("", str(n), "") for n in range(PINS_MAX + 1)]
    for wrong in (nameless, too_long, too_many):
        with pytest.raises(ConfigError):
            write_pins(tmp_path, wrong)
    assert read_pins(tmp_path) == (ONE,)


def test_a_write_that_fails_leaves_the_old_pins_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pins(tmp_path, [ONE])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_pins(tmp_path, [])
    assert read_pins(tmp_path) == (ONE,)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('[[pin]]\nserial = "x"\n', 1, "is missing"),
        ('schema = "nullbay.pins/2"\n', 1, "this build"),
        ('schema = "nullbay.pins/1"\n\n[[pin]]\nmodel = "x"\n', 3, "names no disk"),
        ('schema = "nullbay.pins/1"\n[[pin]]\nserial = 7\n', 3, "whole number"),
        ('schema = "nullbay.pins/1"\n[[pin]]\nserials = "x"\n', 3, "not a known key"),
        ('schema = "nullbay.pins/1"\n[[pin]\n', 2, "not TOML"),
        ("", 1, "is missing"),
    ],
)
def test_pins_that_cannot_be_taken_in_full_are_an_error(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(ConfigError) as error:
        read_pins(tmp_path)
    problem = error.value.problems[0]
    assert (problem.file, problem.line) == (str(tmp_path / FILE_NAME), line)
    assert message in problem.message


def test_a_dangling_link_is_no_absent_file(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_pins(tmp_path)


def test_settings_carry_the_pins_of_the_state_directory(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    write_pins(tmp_path, [ONE])
    assert load(tmp_path / "etc", state=tmp_path).pins == (ONE,)
    assert load(tmp_path / "etc").pins == ()
