"""`nullbay approve|abort`: asks the running station over its HTTP API, as the person of a token."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from nullbay.cli import output
from nullbay.domain.errors import NullbayError

ANSWER_MAX_BYTES = 1024 * 1024
TOKEN_MAX_BYTES = 4096
DEADLINE_S = 30
EXIT_REFUSED = 40


class StationAwayError(NullbayError):
    """No station answers there."""

    code = "station.away"


def approve(arguments: Any) -> int:
    """Arm the plan of a proposal."""
    body = {"plan_sha256": arguments.plan, "confirm": arguments.confirm}
    return _ask(arguments, "approve", body)


def abort(arguments: Any) -> int:
    """Conclude a job now."""
    return _ask(arguments, "abort", None)


def _ask(arguments: Any, what: str, body: dict[str, str] | None) -> int:
    """POST; the answer is printed. 40 where the station refuses."""
    which = urllib.parse.quote(arguments.id, safe="")
    url = f"{arguments.url.rstrip('/')}/v1/jobs/{which}/{what}"
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise StationAwayError(f"{arguments.url} is no address of a station")
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {_token(arguments.token_file)}"}
        | ({} if body is None else {"Content-Type": "application/json"}),
        method="POST",
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=DEADLINE_S) as answer:
            status, data = answer.status, answer.read(ANSWER_MAX_BYTES)
    except urllib.error.HTTPError as error:
        status, data = error.code, error.read(ANSWER_MAX_BYTES)
    except OSError as error:
        raise StationAwayError(
            f"no station answers at {arguments.url}: {error}",
            next_step="See `systemctl status nullbay-agent`, or name another --url",
        ) from error
    plain = _plain(data)
    done = status in {200, 201, 202}
    code = 0 if done else EXIT_REFUSED
    if arguments.json:
        output.emit(what, exit_code=code, http_status=status, answer=plain)
    elif done:
        output.say(f"{arguments.id}: {plain.get('state', 'done')}")
    else:
        output.note(f"nullbay: {plain.get('detail', f'HTTP {status}')} ({plain.get('code', '')})")
    return code


def _token(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(TOKEN_MAX_BYTES).decode("ascii", "replace").strip()


def _plain(data: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


COMMANDS = {"approve": approve, "abort": abort}
