from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from nullbay.config.problems import PROBLEMS_MAX, ConfigError, Flaw, Problem
from nullbay.config.source import (
    FILE_MAX_BYTES,
    FILES_MAX,
    parse_source,
    read_source,
    require_schema,
    toml_files,
)
from support.policy_texts import CLEAR, problems

HUGE = 10 * 1024 * 1024


def refused(raw: bytes) -> Problem:
    with pytest.raises(ConfigError) as error:
        parse_source("a.toml", raw)
    (problem,) = error.value.problems
    assert problem.file == "a.toml"
    return problem


def test_a_file_is_read_with_its_values_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b'# x\r\na.b = 0.10\r\n\r\n[c]\r\nd = """\r\n"""\r\ne = 1\r\n')
    source = read_source(path)
    assert source.data == {"a": {"b": Decimal("0.10")}, "c": {"d": "", "e": 1}}
    problem = source.problem(Flaw(("c", "e"), "is bad", "good"))
    assert problem == Problem(str(path), 7, "c.e", "is bad", "good")


@pytest.mark.parametrize(
    ("raw", "line", "key", "message"),
    [
        (b"a = 1\nb = \nc = 2\n", 2, "b", "not TOML"),
        (b"a = 1\n\na = 2\n", 3, "", "not TOML"),
        (b"[x]\ny = 'open\n", 2, "x.y", "not TOML"),
        (b'a = 1\nb = """\n\n\n', 2, "b", "not TOML"),
        (b"a = 1\nb = [1, 2\n", 2, "b", "not TOML"),
        (b"a = 1\n\xff\xfe\n", 2, "", "0xff is not UTF-8"),
        (b"\xef\xbb\xbfa = 1\n", 1, "", "byte order mark"),
        (b"a = 1\nb\x00 = 2\n", 2, "b", "not TOML"),
        (b"a = 1\nb = '\x00'\n", 2, "b", "not TOML"),
        (b"a = 1\n# \x00\n", 2, "", "not TOML"),
        (b"\x00" * 1000, 1, "", "not TOML"),
        (b"a = 1\rb = 2\n", 1, "a", "not TOML"),
        (b"x" * (FILE_MAX_BYTES + 1), 0, "", "not read further"),
        (b"a = 1\nb = " + b"[" * 1_000_000, 2, "", "nested deeper"),
        (b"a = 1\n" + b"b." * 500_000 + b"c = 1", 2, "", "more than 16 parts"),
        (b"a = 1\n[" + b"b." * 500_000 + b"c]", 2, "", "more than 16 parts"),
        (b"a = [" + b"0," * 500_000 + b"]", 1, "", "values in one file"),
        (b"a = " + b"9" * 1_000_000, 1, "", "thousands of digits"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(
    raw: bytes, line: int, key: str, message: str
) -> None:
    problem = refused(raw)
    assert (problem.line, problem.key) == (line, key)
    assert message in problem.message
    assert problem.right


@pytest.mark.parametrize(
    "value",
    [
        "0x" + "f" * 900_000,
        "9" * 4000,
        "1e" + "9" * 900_000,
        "0." + "1" * 900_000,
        "1e999999999",
        "-inf",
        "nan",
        '"' + "x" * 900_000 + '"',
        "1979-05-27",
        "[" * 10 + "]" * 10,
        "{" + ", ".join(f"k{n} = {n}" for n in range(40_000)) + "}",
    ],
    ids=lambda value: value[:12],
)
@pytest.mark.parametrize("key", ["title", "budgets", "health", "techniques", "verification"])
def test_no_value_whatever_breaks_a_policy_file_but_is_a_problem_on_its_line(
    key: str, value: str
) -> None:
    kept = [line for line in CLEAR.splitlines() if not line.startswith(f"{key} =")]
    lines = [kept[0], f"{key} = {value}", *kept[1:]]
    if key == "verification":
        lines = lines[: lines.index("[verification]")]
    found = problems("\n".join(lines))
    assert found
    assert {problem.line for problem in found} <= {0, 2}
    assert len(found) <= PROBLEMS_MAX + 1
    assert max(len(problem.told()) for problem in found) < 8192


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(HUGE)
    with pytest.raises(ConfigError, match="not read further"):
        read_source(path)


def test_what_is_no_file_is_neither_read_nor_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.toml"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match=r"not an ordinary file|cannot be read"):
            read_source(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_source(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_source(tmp_path / "nul\0.toml")


def test_files_of_a_folder_come_in_name_order_and_not_without_end(tmp_path: Path) -> None:
    for name in ("b.toml", "a.toml", ".hidden.toml", "c.toml~", "B.toml", "10.toml"):
        (tmp_path / name).touch()
    assert [file.name for file in toml_files(tmp_path)] == ["10.toml", "B.toml", "a.toml", "b.toml"]
    for number in range(FILES_MAX):
        (tmp_path / f"{number:04}.toml").touch()
    with pytest.raises(ConfigError, match=f"holds {FILES_MAX + 4} files"):
        toml_files(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        toml_files(tmp_path / "missing")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a = 1", 1, "is missing"),
        ('a = 1\nschema = "nullbay.policy/2"', 2, '"nullbay.policy/2", which this build'),
        ('\n\nschema = "x\\u001b[31m"', 3, '"x\\x1b[31m", which'),
        ("schema = 1", 1, "no text"),
    ],
)
def test_nothing_is_taken_of_an_unknown_schema(text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        require_schema(parse_source("a.toml", text.encode()), "nullbay.policy/1")
    (problem,) = error.value.problems
    assert (problem.line, problem.key) == (line, "schema")
    assert message in problem.message
    assert problem.right == 'schema = "nullbay.policy/1"'


def test_an_error_tells_one_line_for_each_problem_in_order_without_control_characters() -> None:
    source = parse_source("evil\n\x1b.toml", b'b = 1\n"a\\n\\u001b" = 2\n')
    with pytest.raises(ConfigError) as error:
        source.refuse([Flaw(("a\n\x1b",), "is bad", "none"), Flaw(("b",), "is worse", "")])
    assert str(error.value).splitlines() == [
        "evil\\x0a\\x1b.toml:1: `b` is worse",
        'evil\\x0a\\x1b.toml:2: `"a\\x0a\\x1b"` is bad; right would be: none',
    ]
    assert "nullbay config check" in error.value.next_step
    assert error.value.code == "config.invalid"


def test_after_a_hundred_problems_there_are_said_to_be_more() -> None:
    source = parse_source("a.toml", b"".join(b"k%d = 1\n" % n for n in range(250)))
    with pytest.raises(ConfigError) as error:
        source.refuse(Flaw((f"k{n}",), "is bad", "") for n in range(250))
    assert len(error.value.problems) == PROBLEMS_MAX + 1
    assert error.value.problems[-1].message == "has more problems than are told here"
