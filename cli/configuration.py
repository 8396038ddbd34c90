"""`nullbay config …`: settings and policies, checked as the services would read them."""

from __future__ import annotations

from typing import Any

from nullbay.cli import context, output
from nullbay.config import policies as policy_files
from nullbay.config.check import examine

EXIT_BAD = 2


def check(arguments: Any) -> int:
    """Every mistake with file, line and key, and what would be right."""
    found = examine(arguments.config)
    code = EXIT_BAD if found.problems else 0
    if arguments.json:
        output.emit(
            "config-check",
            exit_code=code,
            problems=[
                {
                    "file": one.file,
                    "line": one.line,
                    "key": one.key,
                    "message": one.message,
                    "right": one.right,
                }
                for one in found.problems
            ],
            notes=[
                {"file": one.file, "line": one.line, "key": one.key, "message": one.message}
                for one in found.notes
            ],
        )
        return code
    for problem in found.problems:
        output.say(problem.told())
    for one in found.notes:
        output.say("note: " + one.told())
    if not found.problems:
        output.say("Settings and policies are sound.")
    return code


def policies(arguments: Any) -> int:
    """Every policy that can be named, with its hash."""
    settings = context.load_settings(arguments, None)
    known = policy_files.load_policies(settings.policies_directory)
    if arguments.json:
        output.emit(
            "policies",
            policies=[
                {
                    "id": one.policy_id,
                    "title": one.title,
                    "method": one.method.value,
                    "sha256": one.sha256,
                }
                for one in known.values()
            ],
        )
        return 0
    rows = [(one.policy_id, one.method.value, one.title, one.sha256[:16]) for one in known.values()]
    output.say(output.table(("policy", "method", "title", "sha-256"), rows))
    return 0


COMMANDS = {"config check": check, "config policies": policies}
