"""The one entry point: parse, find the command's module, run it, turn failures into exit codes.

Exit codes are those of docs/cli.md: 0/10/20/30 by verdict, 40 refused, 50/51 not authentic or
malformed, 60 differs, 2 usage, 1 internal or environment, 130 interrupted and resumable.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nullbay.cli import output
from nullbay.cli.parser import build_parser
from nullbay.domain.errors import NullbayError

EXIT_USAGE = 2
EXIT_INTERNAL = 1
EXIT_INTERRUPTED = 130

EXIT_NOT_AUTHENTIC = 50
EXIT_MALFORMED = 51
_USAGE_CODES = ("usage.", "config.", "device.", "policy.")
_DAEMONS = frozenset({"agent", "wiperd", "server"})
_NOT_BY_ITSELF = ("journal.", "ledger.", "state.", "key.", "keys.")
"""What a service manager must not try again and again: a person has to look first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    output.be_robust()
    parsed = build_parser().parse_args(given)
    if any(not text.isprintable() for text in given):
        return _failed(parsed, "usage.text", "an argument holds control or invalid characters", "")
    try:
        return _commands(parsed.command.split()[0])[parsed.command](parsed)
    except NullbayError as error:
        return _failed(parsed, error.code, str(error), error.next_step)
    except PermissionError as error:
        return _failed(parsed, "environment.permission", str(error), "Run it as root")
    except OSError as error:
        return _failed(parsed, "environment.os", str(error), "See the message")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _commands(group: str) -> Mapping[str, Callable[[Any], int]]:
    """The module of a command, imported only when asked for: help needs no database."""
    match group:
        case "drives" | "plan":
            from nullbay.cli import drives

            return drives.COMMANDS
        case "wipe":
            from nullbay.cli import wipe

            return wipe.COMMANDS
        case "cert":
            from nullbay.cli import cert

            return cert.COMMANDS
        case "config":
            from nullbay.cli import bays, configuration

            return configuration.COMMANDS | bays.COMMANDS
        case "lab":
            from nullbay.cli import laboratory

            return laboratory.COMMANDS
        case "demo":
            from nullbay.cli import demo

            return demo.COMMANDS
        case "wiperd":
            from nullbay.cli import daemons

            return daemons.COMMANDS
        case "agent":
            from nullbay.cli import agent

            return agent.COMMANDS
        case "server":
            from nullbay.cli import server

            return server.COMMANDS
        case "bays":
            from nullbay.cli import bays

            return bays.COMMANDS
        case "approve" | "abort":
            from nullbay.cli import asking

            return asking.COMMANDS
        case _:
            from nullbay.cli import station

            return station.COMMANDS


def _failed(parsed: Any, code: str, message: str, next_step: str) -> int:
    exit_code = EXIT_USAGE if code.startswith(_USAGE_CODES) else EXIT_INTERNAL
    if parsed.command in _DAEMONS and code.startswith(_NOT_BY_ITSELF):
        exit_code = EXIT_USAGE
    if parsed.command.startswith("cert "):
        exit_code = EXIT_NOT_AUTHENTIC if code.startswith("certificate.") else exit_code
        exit_code = EXIT_MALFORMED if code.startswith("input.") else exit_code
    if getattr(parsed, "json", False):
        error = {"code": code, "message": message, "next_step": next_step}
        output.emit("error", exit_code=exit_code, error=error)
    output.note(f"nullbay: {message}" + (f"\n  {next_step}." if next_step else ""))
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
