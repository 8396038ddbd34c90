"""`nullbay config …`: settings and policies, checked as the services would read them."""

from __future__ import annotations

import getpass
import hashlib
import secrets
import sys
from typing import Any

from nullbay.cli import context, output
from nullbay.config import policies as policy_files
from nullbay.config.check import examine
from nullbay.config.person_pin import scrypt_text

EXIT_BAD = 2
BADGE_BYTES = 24
PASSWORD_MIN = 10


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


def pin(arguments: Any) -> int:
    """What the settings hold of a person's PIN; with a badge, of its text too."""
    given = _asked("PIN: ")
    if sys.stdin.isatty() and _asked("Again: ") != given:
        raise context.UsageError("the two PINs differ", next_step="Try again")
    badge = secrets.token_urlsafe(BADGE_BYTES) if arguments.badge else ""
    digest = hashlib.sha256(badge.encode()).hexdigest() if badge else ""
    made = scrypt_text(given)
    if arguments.json:
        output.emit("person-pin", pin_scrypt=made, badge=badge, token_sha256=digest)
        return 0
    output.say(f'pin_scrypt = "{made}"')
    if badge:
        output.say(f'token_sha256 = "{digest}"')
        output.note(f"The text of the badge, shown once: {badge}")
    return 0


def password(arguments: Any) -> int:
    """What the centre's settings hold of a user's password."""
    from nullbay.server.people import PasswordHash

    given = _asked("Password: ")
    if len(given) < PASSWORD_MIN:
        raise context.UsageError(
            f"a password has at least {PASSWORD_MIN} characters", next_step="Choose a longer one"
        )
    if sys.stdin.isatty() and _asked("Again: ") != given:
        raise context.UsageError("the two passwords differ", next_step="Try again")
    made = PasswordHash.of(given).encode()
    if arguments.json:
        output.emit("user-password", password=made)
    else:
        output.say(f'password = "{made}"')
    return 0


def _asked(question: str) -> str:
    """From a terminal unseen, else a line of standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(question)
    return sys.stdin.readline(256).rstrip("\n")


COMMANDS = {
    "config check": check,
    "config policies": policies,
    "config pin": pin,
    "config password": password,
}
