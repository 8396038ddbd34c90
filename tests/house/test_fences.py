"""Who may use what: the fences an import graph cannot hold, by reading the code.

import-linter (pyproject.toml) holds the floors and the fences around whole modules. Here stand
single functions, submodules of other people's packages, and ways around a fence. One table, by
place in the tree, so a fence stands before the folder it lets through.
"""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from support.tree import room_files, rooms, shown


@dataclass(frozen=True)
class Fence:
    """What is fenced (dotted names, and everything below them), and where it may be used."""

    what: str
    names: tuple[str, ...]
    allowed: tuple[str, ...]
    within: str = ""
    """Only this part of the tree is fenced in; empty is all of it."""

    def holds(self, place: str) -> bool:
        """Whether a file, by its path, stands outside the gate."""
        return under(place, self.within) and not any(under(place, gate) for gate in self.allowed)

    def names_it(self, name: str) -> bool:
        """Whether a dotted name is fenced."""
        return any(fnmatchcase(name, pat) or fnmatchcase(name, f"{pat}.*") for pat in self.names)


def under(place: str, folder: str) -> bool:
    """Whether a path is that file or stands in that folder."""
    return not folder or place == folder or place.startswith(folder + "/")


FENCES = (
    Fence(
        "starting processes",
        (
            "subprocess",
            "multiprocessing",
            "pty",
            "concurrent.futures.ProcessPoolExecutor",
            "asyncio.create_subprocess_*",
            "asyncio.subprocess",
            "*.subprocess_exec",
            "*.subprocess_shell",
            "os.system",
            "os.popen",
            "os.fork",
            "os.forkpty",
            "os.exec*",
            "os.spawn*",
            "os.posix_spawn*",
        ),
        ("wipers/platform", "lab/vm", "cli"),
    ),
    Fence("the kernel's side doors", ("fcntl", "ctypes"), ("wipers/platform", "lab/doors")),
    Fence("udev", ("pyudev",), ("agent/discovery.py",)),
    Fence(
        "asymmetric cryptography",
        (
            "cryptography.x509",
            "cryptography.hazmat.primitives.asymmetric",
            "cryptography.hazmat.primitives.serialization",
        ),
        ("certs",),
    ),
    Fence("SQL", ("sqlite3", "aiosqlite", "sqlalchemy", "psycopg"), ("agent/journal", "server/db")),
    Fence(
        "clocks, sleeping and timeouts (use the Clock port)",
        (
            "time",
            "sched",
            "datetime.datetime.now",
            "datetime.datetime.utcnow",
            "datetime.datetime.today",
            "datetime.date.today",
            "asyncio.sleep",
            "asyncio.timeout",
            "asyncio.timeout_at",
            "asyncio.wait_for",
            "asyncio.wait(timeout)",
            "threading.Timer",
            "signal.alarm",
            "signal.setitimer",
            "*.call_later",
            "*.call_at",
        ),
        ("domain/clock.py",),
    ),
    # A shared codec would make two wrongs agree.
    Fence("the wipers' own code", ("nullbay.wipers",), (), within="lab/models"),
    # They would step over every other fence; cli imports lazily, but by name.
    Fence("imports out of sight", ("__import__", "importlib.import_module", "runpy"), ()),
)


def uses(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """Every dotted name a module imports or reaches through what it imported, with its line.

    A builtin stands for itself; an attribute of a value counts as `*.attribute`, because what the
    value is cannot be read off the code; a call also counts as `name(keyword)`.
    """
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, node.module or ""]).strip(".") if node.level else node.module
            for alias in node.names:
                known[alias.asname or alias.name] = f"{base}.{alias.name}"
                yield node.lineno, f"{base}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.lineno, dotted(node, known)
        elif isinstance(node, ast.Name) and node.id not in known and hasattr(builtins, node.id):
            yield node.lineno, node.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            for keyword in node.keywords:
                yield node.lineno, f"{dotted(node.func, known)}({keyword.arg})"


def dotted(node: ast.Attribute, known: dict[str, str]) -> str:
    """`a.b.c` with `a` as it was imported; a value's attribute as `*.c`."""
    parts = [node.attr]
    value = node.value
    while isinstance(value, ast.Attribute):
        parts.append(value.attr)
        value = value.value
    if isinstance(value, ast.Name) and value.id in known:
        return ".".join([known[value.id], *reversed(parts)])
    return f"*.{node.attr}"


def breaches(text: str, place: str) -> list[str]:
    """What a file does beyond its fences, each with file and line."""
    held = [fence for fence in FENCES if fence.holds(place)]
    package = ".".join(["nullbay", *Path(place).parts[:-1]])
    return sorted(
        {
            f"{place}:{line}: {name.removeprefix('*.')}: {fence.what}"
            + (f", only in {', '.join(fence.allowed)}" if fence.allowed else "")
            for line, name in uses(ast.parse(text, place), package)
            for fence in held
            if fence.names_it(name)
        }
    )


def test_rooms_keep_their_fences() -> None:
    modules = [path for path in room_files() if path.suffix == ".py"]
    found = [line for path in modules for line in breaches(path.read_text(), shown(path))]
    assert not found, "\n".join(["over the fence:", *found])


@pytest.mark.parametrize(
    ("place", "code", "caught"),
    [
        ("agent/a.py", "import subprocess", True),
        ("wipers/platform/run.py", "import subprocess", False),
        ("wipers/platform.py", "import subprocess", True),
        ("cli/drives.py", "from subprocess import run", False),
        ("agent/a.py", "import os\nos.execv('/bin/sh', [])", True),
        ("agent/a.py", "import asyncio as aio\nawait_ = aio.create_subprocess_exec", True),
        ("agent/a.py", "import importlib\nimportlib.import_module('subprocess')", True),
        ("agent/a.py", "__import__('subprocess')", True),
        ("agent/a.py", "import importlib.resources", False),
        ("wipers/a.py", "def f():\n    from time import monotonic", True),
        ("domain/clock.py", "import time", False),
        ("lab/clock.py", "import time", True),
        ("lab/a.py", "from datetime import datetime\ndatetime.now()", True),
        ("lab/a.py", "import datetime as d\nd.datetime.now(d.UTC)", True),
        ("lab/a.py", "from datetime import UTC, datetime\ndatetime.fromtimestamp(0, UTC)", False),
        ("agent/a.py", "from asyncio import wait_for", True),
        ("agent/a.py", "import asyncio\nasyncio.get_running_loop().call_later(1, print)", True),
        ("agent/a.py", "import asyncio\nasyncio.wait([], timeout=3)", True),
        ("agent/a.py", "import asyncio\nasyncio.wait([])", False),
        ("agent/a.py", "import asyncio\nasyncio.TaskGroup()", False),
        ("agent/a.py", "def f(time):\n    return time.x", False),
        ("agent/a.py", "async def f(clock):\n    await clock.sleep(1)", False),
        ("wipers/a.py", "from cryptography.hazmat.primitives import asymmetric", True),
        ("wipers/a.py", "import cryptography\ncryptography.x509.Name", True),
        ("wipers/a.py", "from cryptography.hazmat.primitives.ciphers import Cipher", False),
        ("certs/a.py", "from cryptography.hazmat.primitives.asymmetric import ec", False),
        ("agent/b.py", "import sqlite3", True),
        ("agent/journal/db.py", "import sqlite3", False),
        ("lab/models/ata.py", "from nullbay.wipers import codec", True),
        ("lab/models/ata.py", "from ...wipers import codec", True),
        ("lab/loops.py", "from nullbay.wipers.platform import loop", False),
    ],
)
def test_the_fences_catch_what_they_should(place: str, code: str, caught: bool) -> None:
    assert bool(breaches(code, place)) == caught


def test_breaches_say_where() -> None:
    (found,) = breaches("\nimport fcntl\n", "agent/a.py")
    assert found.startswith("agent/a.py:2: fcntl: ")


def test_a_drive_process_carries_only_what_it_needs() -> None:
    """The standard library, cryptography, and rooms that bring nothing else."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "import nullbay.wipers.process\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    ours = {name.split(".")[1] for name in loaded if name.startswith("nullbay.")}
    others = {name.split(".")[0] for name in loaded} - sys.stdlib_module_names
    assert others <= {"nullbay", "cryptography", "_openssl", "_cffi_backend"}
    assert ours <= {"domain", "wipers"}


def test_every_room_is_read() -> None:
    """A fence that looks at no file holds nothing."""
    seen = {shown(path).split("/")[0] for path in room_files() if path.suffix == ".py"}
    assert seen == set(rooms())
