# ruff: noqa: INP001 - a script beside the package's other parts
"""Prints the part of requirements.lock that runs with nullbay, hashes included.

The lock holds what nullbay is developed with too. What belongs to the program is followed from
pyproject.toml's dependencies through the metadata of the packages installed in this environment,
with the markers of the Python that runs this. Usage: python debian/runtime_lock.py
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).resolve().parents[1]


def locked(text: str) -> dict[str, str]:
    """Each package's entry of the lock, by name: its first line, with the lines of its hashes."""
    entries: dict[str, str] = {}
    name = ""
    for line in text.splitlines(keepends=True):
        if match := re.match(r"([A-Za-z0-9._-]+)==", line):
            name = canonicalize_name(match[1])
            entries[name] = line
        elif name and line.lstrip().startswith("--hash="):
            entries[name] += line
    return entries


def closure(first: list[str]) -> set[str]:
    """The packages that these requirements bring, through all their extras and markers."""
    seen: set[tuple[str, str]] = set()
    todo = [(Requirement(one), "") for one in first]
    while todo:
        one, extra = todo.pop()
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(one.name)
        for wanted in ("", *sorted(one.extras)):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                todo += [(Requirement(line), wanted) for line in requires(name) or ()]
    return {name for name, _ in seen}


def main() -> int:
    """Write it; 1 where a package is needed and not locked."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    entries = locked((TOP / "requirements.lock").read_text())
    needed = closure(project["dependencies"])
    if missing := sorted(needed - entries.keys()):
        sys.stderr.write(f"not in requirements.lock: {', '.join(missing)}\n")
        return 1
    for name in sorted(needed):
        sys.stdout.write(entries[name].rstrip().removesuffix("\\").rstrip() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
