"""Documents against code: what a page promises exists, what exists has its page."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import cast

import pytest

from support.markdown import sections, table
from support.tree import TOP, files, rooms, shown

# The modules are found by name: one that is missing fails its own tests, not the whole page.


def page(name: str) -> str:
    return (TOP / "docs" / name).read_text()


# --- docs/reasons.md ---------------------------------------------------------------------------


def test_the_reasons_page_is_the_generated_one() -> None:
    reasons = import_module("nullbay.domain.reasons")
    assert page("reasons.md") == reasons.catalogue_markdown()


def test_every_reason_is_explained() -> None:
    catalogue = cast("Mapping[str, object]", import_module("nullbay.domain.reasons").CATALOGUE)
    text = page("reasons.md")
    assert catalogue
    for code, reason in catalogue.items():
        assert getattr(reason, "code") == code  # noqa: B009 - its type is another room's
        assert f"`{code}`" in text, code
        for field in ("text", "next_step"):
            assert str(getattr(reason, field)).strip(), f"{code} has an empty {field}"


# --- docs/cli.md -------------------------------------------------------------------------------
# Each command has a heading, "## nullbay cert verify". Its options stand in its section, or in the
# section of a command above it when they are shared.


LONG = re.compile(r"(?<![\w-])--[a-z][\w-]*")


def commands(
    parser: argparse.ArgumentParser, path: str = "nullbay"
) -> Iterator[tuple[str, set[str]]]:
    """Every command, with the options it takes itself."""
    options: set[str] = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from commands(child, f"{path} {name}")
        elif action.help != argparse.SUPPRESS:
            options |= set(action.option_strings)
    yield path, options - {"-h", "--help"}


def parser() -> argparse.ArgumentParser:
    return cast("argparse.ArgumentParser", import_module("nullbay.cli.parser").build_parser())


def above(command: str) -> list[str]:
    """The command and those it belongs to: nullbay cert verify, nullbay cert, nullbay."""
    words = command.split()
    return [" ".join(words[:end]) for end in range(len(words), 0, -1)]


def mentions(text: str, option: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text) is not None


def test_every_command_has_its_section_and_every_section_its_command() -> None:
    documented = {name for name in sections(page("cli.md")) if re.match(r"nullbay( |$)", name)}
    existing = {name for name, _ in commands(parser())}
    assert documented - {"nullbay"} == existing - {"nullbay"}


def test_every_option_is_documented_where_its_command_is() -> None:
    text = sections(page("cli.md"))
    missing = [
        f"{command} {option}"
        for command, options in commands(parser())
        for option in sorted(options)
        if not any(mentions(text.get(name, ""), option) for name in above(command))
    ]
    assert not missing


def test_no_option_is_documented_that_does_not_exist() -> None:
    known = dict(commands(parser()))
    invented: list[str] = []
    for name, text in sections(page("cli.md")).items():
        # A page's introduction may speak of all options; a command's section of its own, of those
        # it inherits, and of those that the commands below it share.
        owners = [c for c in known if name not in known or name in above(c) or c in above(name)]
        real = {"--help"}.union(*(known[command] for command in owners))
        invented += [f"{name}: {option}" for option in LONG.findall(text) if option not in real]
    assert not invented


CALL = r"(?:sudo )?(?:\S*/)?nullbay (.+?)"


def calls(text: str) -> Iterator[str]:
    """What follows `nullbay` in back-quotes and in lines of code blocks."""
    for number, part in enumerate(text.split("```")):
        if number % 2:
            yield from re.findall(rf"^\s*(?:[$#] )?{CALL}\s*$", part, re.MULTILINE)
        else:
            yield from re.findall(rf"`{CALL}`", part)


def wrong_in(call: str, known: Mapping[str, set[str]]) -> Iterator[str]:
    """The command or options of a call that the parser does not know."""
    words = re.split(r"\s[|;&>#]", call, maxsplit=1)[0].split()
    command = "nullbay"
    while words and f"{command} {words[0]}" in known:
        command += f" {words.pop(0)}"
    has_subcommands = any(name.startswith(f"{command} ") for name in known)
    if has_subcommands and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        yield f"{command} {words[0]}"
    real = {"--help"}.union(*(known[name] for name in above(command)))
    for option in LONG.findall(" ".join(words)):
        if option not in real:
            yield f"{command} {option}"


def test_commands_in_documents_exist() -> None:
    known = dict(commands(parser()))
    wrong = [
        f"{shown(path)}: {problem}"
        for path in files()
        if path.suffix == ".md"
        for call in calls(path.read_text())
        for problem in wrong_in(call, known)
    ]
    assert not wrong


def test_wrong_commands_are_noticed() -> None:
    known = {"nullbay": {"--json"}, "nullbay cert": set(), "nullbay cert verify": {"--trust"}}
    text = "Say `nullbay cert verify F --trust K --json`.\n```\n"
    text += "$ sudo .venv/bin/nullbay cert melt\nnullbay cert verify --nope | tee --append x\n```\n"
    found = [problem for call in calls(text) for problem in wrong_in(call, known)]
    assert found == ["nullbay cert melt", "nullbay cert verify --nope"]


# --- docs/settings.md, docs/policies.md --------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "module", "function"),
    [
        ("settings.md", "nullbay.config.settings", "setting_names"),
        ("policies.md", "nullbay.config.policy_file", "policy_keys"),
    ],
)
def test_every_key_is_documented_and_no_other(document: str, module: str, function: str) -> None:
    """Each key stands in back-quotes; tables headed `Key` list only real ones."""
    names = cast("Callable[[], Iterable[str]]", getattr(import_module(module), function))
    existing = set(names())
    assert existing
    text = page(document)
    assert not [name for name in sorted(existing) if f"`{name}`" not in text]
    assert {row[0].strip("`") for row in table(text, "Key")} <= existing


# --- docs/dependencies.md ----------------------------------------------------------------------


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return match[0].lower()


def test_every_direct_dependency_has_its_reason() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    for header, wanted in (
        ("Runs with", project["dependencies"]),
        ("Developed with", project["optional-dependencies"]["dev"]),
    ):
        rows = {row[0].strip("`"): row[1:] for row in table(page("dependencies.md"), header)}
        assert set(rows) == {requirement_name(line) for line in wanted}
        assert all(cell for cells in rows.values() for cell in cells)


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    locked = set(
        re.findall(r"^([a-z0-9._-]+)==", (TOP / "requirements.lock").read_text(), re.MULTILINE)
    )
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {requirement_name(line) for line in wanted} <= locked


# Used as a command, by the Makefile or by a test, or (the types) by mypy: nothing imports these.
TOOLS = {"build", "import-linter", "mypy", "ruff", "setuptools", "types-jsonschema", "types-psutil"}
IMPORTED_AS = {"zxing-cpp": "zxingcpp"}


def imported_in(folders: Iterable[str]) -> set[str]:
    """The first names of everything that the Python files below these folders import."""
    tops = tuple(f"{folder}/" for folder in folders)
    texts = (f.read_text() for f in files() if f.suffix == ".py" and shown(f).startswith(tops))
    first = re.compile(r"^\s*(?:import|from) (\w+)", re.MULTILINE)
    return {name for text in texts for name in first.findall(text)}


def test_every_dependency_is_used() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    runs_with = {requirement_name(line).replace("-", "_") for line in project["dependencies"]}
    tools = [requirement_name(line) for line in project["optional-dependencies"]["dev"]]
    developed_with = {IMPORTED_AS.get(name, name) for name in tools}
    assert runs_with - imported_in(rooms()) == set(), "no room imports it"
    assert developed_with - TOOLS - imported_in(["tests"]) == set(), "no test imports it"
