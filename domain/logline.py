"""One line of a log: the same fields whoever writes it, and nothing in it that must not be written.

The daemons that load structlog and those that must not (wiperd, drive processes) end in the same
formatter. Secrets are dropped by the name of their field and by their form in text; bytes are
counted, never shown; of objects nobody foresaw only the type is named, because their
representation may hold anything. It is a net below the ports, where secrets and customers' bytes
stop (docs/installation.md, Logs).
"""

from __future__ import annotations

import enum
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import PurePath

from nullbay.domain.clock import rfc3339
from nullbay.domain.text import show

SCHEMA = "nullbay.log/1"
DROPPED = "[dropped]"
TEXT_MAX = 2_000
TRACE_MAX = 16_000
ITEMS_MAX = 100
DEPTH_MAX = 4
_SHOWN = 200

# Fields that are never written, whatever they hold; `-` counts as `_`.
SECRET_FIELDS = frozenset(
    {
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "csrf",
        "database_url",
        "data",
        "data_in",
        "data_out",
        "key",
        "login_link",
        "msid",
        "passphrase",
        "password",
        "pin",
        "psid",
        "secret",
        "session_id",
        "set_cookie",
        "sid",
        "token",
    }
)
SECRET_ENDINGS = (
    "_cookie",
    "_key",
    "_link",
    "_passphrase",
    "_password",
    "_pin",
    "_secret",
    "_token",
)
_NOT_SECRET = frozenset({"public_key", "identity_key"})
_SECRET_TEXTS = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [^-]*-----|\Z)", re.DOTALL),
        DROPPED,
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+"), rf"\1 {DROPPED}"),
    (re.compile(r"://[^/\s@]*@"), f"://{DROPPED}@"),
    (
        re.compile(r"(?i)\b(token|password|passphrase|pin|psid|secret|key)=[^\s&\"']+"),
        rf"\1={DROPPED}",
    ),
)
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "fields"}
_BOUND: ContextVar[Mapping[str, object]] = ContextVar("nullbay_log", default={})  # noqa: B039 - read only


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """Every line written inside, and by tasks begun inside, carries these fields (job, bay)."""
    token = _BOUND.set({**_BOUND.get(), **fields})
    try:
        yield
    finally:
        _BOUND.reset(token)


def fields(**given: object) -> dict[str, object]:
    """For the `extra` of a standard logger: fields of any name, also `name` or `args`."""
    return {"fields": given}


def is_secret(name: str) -> bool:
    """Whether a field of that name is never written."""
    plain = name.lower().replace("-", "_")
    if plain in _NOT_SECRET:
        return False
    return plain in SECRET_FIELDS or plain.endswith(SECRET_ENDINGS)


def clean(given: Mapping[str, object]) -> dict[str, object]:
    """What may be written of these fields, as JSON values of bounded size."""
    return _mapping(given, DEPTH_MAX)


def clean_text(text: str, limit: int = TEXT_MAX) -> str:
    """Text without what looks like a secret, cut at `limit` characters with an ellipsis."""
    for form, instead in _SECRET_TEXTS:
        text = form.sub(instead, text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _mapping(given: Mapping[str, object], depth: int) -> dict[str, object]:
    shown: dict[str, object] = {}
    for key, value in given.items():
        if len(shown) == ITEMS_MAX:
            shown["more"] = len(given) - ITEMS_MAX
            break
        name = clean_text(str(key), _SHOWN)
        shown[name] = DROPPED if is_secret(name) else _value(value, depth)
    return shown


def _value(value: object, depth: int) -> object:
    match value:
        case enum.Enum():
            return _value(value.value, depth)
        case None | bool() | int():
            return value
        case float():
            # NaN and infinities are no JSON.
            return value if abs(value) < float("inf") else str(value)
        case str():
            return clean_text(value)
        case PurePath():
            return clean_text(str(value))
        case bytes() | bytearray() | memoryview():
            return f"[{len(value)} bytes]"
        case BaseException():
            return clean_text(f"{type(value).__name__}: {value}")
        case Mapping() if depth:
            return _mapping(value, depth - 1)
        case list() | tuple() | set() | frozenset() if depth:
            return _items(value, depth - 1)
        case _:
            return f"[{type(value).__name__}]"


def _items(given: Iterable[object], depth: int) -> list[object]:
    values = list(given)
    shown = [_value(one, depth) for one in values[:ITEMS_MAX]]
    return shown if len(values) <= ITEMS_MAX else [*shown, f"[{len(values) - ITEMS_MAX} more]"]


class _LineFormatter(logging.Formatter):
    """What both forms share: time, event, fields and trace of a record."""

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        loose = {name: value for name, value in vars(record).items() if name not in _OWN}
        given = getattr(record, "fields", {})
        return clean({**_BOUND.get(), **loose, **(given if isinstance(given, Mapping) else {})})

    def _event(self, record: logging.LogRecord) -> str:
        try:
            return clean_text(record.getMessage())
        except (TypeError, ValueError, KeyError):
            # A message whose arguments do not fit: other people's mistakes cost no line.
            return clean_text(str(record.msg))

    def _trace(self, record: logging.LogRecord) -> str:
        """Where an exception came from, without the values of variables."""
        if not record.exc_info or record.exc_info[0] is None:
            return ""
        return clean_text(self.formatException(record.exc_info), TRACE_MAX)


def _at(record: logging.LogRecord) -> str:
    return rfc3339(datetime.fromtimestamp(record.created, UTC))


class JsonFormatter(_LineFormatter):
    """`nullbay.log/1`: schema, at, level, logger, event, then the fields; `trace` of an exception.

    One line of ASCII, so that no terminal and no log reader can be led astray by what a drive or a
    manifest calls itself. A field never takes the place of those that come first.
    """

    def __init__(self, *, to_journal: bool = False) -> None:
        """`to_journal` puts the priority in front as the journal reads it: `<4>{…}`."""
        super().__init__()
        self._to_journal = to_journal

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its line break."""
        line: dict[str, object] = {
            "schema": SCHEMA,
            "at": _at(record),
            "level": record.levelname.lower(),
            "logger": clean_text(record.name, _SHOWN),
            "event": self._event(record),
        }
        if trace := self._trace(record):
            line["trace"] = trace
        for name, value in self._fields(record).items():
            line[f"field_{name}" if name in line else name] = value
        text = json.dumps(line, ensure_ascii=True, allow_nan=False)
        return f"<{_priority(record.levelno)}>{text}" if self._to_journal else text


class PeopleFormatter(_LineFormatter):
    """For a person at a terminal: time, level, event, `name=value`; nothing there can escape."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the trace below it."""
        told = [f"{_shown(name)}={_shown(value)}" for name, value in self._fields(record).items()]
        head = f"{_at(record)[11:19]}Z {record.levelname.lower():<8} {_shown(self._event(record))}"
        lines = ["  ".join([head, " ".join(told)]).rstrip()]
        lines += [show(line, TEXT_MAX) for line in self._trace(record).splitlines()]
        return "\n".join(lines)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return show(text, _SHOWN)


def _priority(level: int) -> int:
    """syslog(3): 3 error, 4 warning, 6 information, 7 debugging."""
    return next((priority for least, priority in _PRIORITIES if level >= least), 7)
