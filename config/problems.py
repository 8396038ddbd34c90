"""What can be wrong in a configuration file, told with file, line, key and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from nullbay.domain.errors import NullbayError
from nullbay.domain.text import show

KeyPath: TypeAlias = tuple[str | int, ...]
"""A key of one file: names of tables and keys, and 0-based places in lists."""

PROBLEMS_MAX = 100
TOLD_MAX = 8192
FILE_NAME_MAX = 4096
SHOWN_KEY_MAX = 200
SHOWN_VALUE_MAX = 40
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong at a path of one file; `right` is what would be right there."""

    path: KeyPath
    message: str
    right: str


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A flaw with its place. `line` counts from 1; 0 where the trouble is not in a line.

    `key` is the dotted key as the documentation names it: places in lists are left to the line.
    """

    file: str
    line: int
    key: str
    message: str
    right: str

    def told(self) -> str:
        """One line for a person or a log, free of control characters."""
        place = shown_file(self.file)
        place = f"{place}:{self.line}" if place and self.line else place
        what = f"`{self.key}` {self.message}" if self.key else self.message
        told = f"{place}: {what}" if place else what
        told = f"{told}; right would be: {self.right}" if self.right else told
        return "".join(one if one.isprintable() else "\ufffd" for one in told[:TOLD_MAX])


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something allowed that is worth knowing, such as a value that another file overrides."""

    file: str
    line: int
    key: str
    message: str

    def told(self) -> str:
        """One line for a person or a log."""
        return Problem(self.file, self.line, self.key, self.message, "").told()


class ConfigError(NullbayError):
    """Configuration that is not taken: every problem found, in order of file and line."""

    code = "config.invalid"

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Carry the problems; the message is one line for each."""
        self.problems = tuple(problems)
        super().__init__(
            "\n".join(problem.told() for problem in self.problems),
            next_step="Mend it; `nullbay config check` shows all of it",
        )


class UnknownPolicyError(ConfigError):
    """A policy was asked for that no file defines."""

    code = "policy.unknown"


class UnknownLotError(ConfigError):
    """A lot was asked for that no file defines."""

    code = "lot.unknown"


def shown_file(file: str) -> str:
    """A file name as a message may repeat it."""
    return show(file, FILE_NAME_MAX)


def dotted(path: KeyPath) -> str:
    """The key as documented: `bay.match`, places in lists left out, odd names in quotes."""
    names = (part for part in path if isinstance(part, str))
    parts = (name if _BARE.fullmatch(name) else f'"{name}"' for name in names)
    return show(".".join(parts), SHOWN_KEY_MAX)


def quoted(value: str) -> str:
    """A value as a message may repeat it: short and printable."""
    return f'"{show(value, SHOWN_VALUE_MAX)}"'
