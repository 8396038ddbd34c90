"""The centre's configuration: one TOML file, or a directory of them, to `ServerSettings`.

Files it names (keys, tokens) are read here, under a cap, so that a centre either starts with all of
them or says which is wrong, with file, line and key.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from datetime import date
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from nullbay.config.problems import ConfigError, Flaw, KeyPath, Note, Problem, shown_file
from nullbay.config.server_settings_tables import (
    SCHEMA,
    FindingsTable,
    LimitsTable,
    PollTable,
    ServerSettingsTable,
    ServerTable,
    StationTable,
    UserRole,
    UserTable,
)
from nullbay.config.source import Source, read_source, require_schema, toml_files, unread
from nullbay.config.tables import keys_of, validated

__all__ = [
    "DEFAULT_PATH",
    "SCHEMA",
    "ExaminedServer",
    "FindingLimits",
    "Limits",
    "Poll",
    "ServerSettings",
    "StationEntry",
    "UserEntry",
    "UserRole",
    "examine_server_settings",
    "load_server_settings",
    "server_setting_names",
]

DEFAULT_PATH = Path("/etc/nullbay-server")
KEY_FILE_MAX_BYTES = 64 * 1024
TOKEN_MIN, TOKEN_MAX = 20, 512
_TOKEN_RIGHT = f"one line of {TOKEN_MIN} to {TOKEN_MAX} printable ASCII characters"


@dataclass(frozen=True, slots=True)
class StationEntry:
    """A station of the settings. Keys are PEM texts; `token_sha256` empty: it may not deliver.

    `expires` is the last day of its token, None for ever. `poll_token` is a secret.
    """

    station: str
    url: str
    station_keys: bytes
    bench_keys: bytes
    token_sha256: str
    expires: date | None
    poll_token: str
    poll_ca: Path | None

    def __repr__(self) -> str:
        """Without the secret."""
        return f"StationEntry({self.station!r}, {self.url!r})"


@dataclass(frozen=True, slots=True)
class UserEntry:
    """A person of the settings. `password` is a hash; empty texts: not that way."""

    user_id: str
    name: str
    role: UserRole
    password: str = field(repr=False)
    token_sha256: str = field(repr=False)
    expires: date | None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken."""

    evidence_max_bytes: int = LimitsTable().evidence_max_bytes
    reserve_bytes: int = LimitsTable().reserve_bytes
    deliveries_at_once: int = LimitsTable().deliveries_at_once
    refused_kept: int = LimitsTable().refused_kept


@dataclass(frozen=True, slots=True)
class Poll:
    """How stations are asked."""

    interval_s: int = PollTable().interval_s
    deadline_s: int = PollTable().deadline_s
    concurrency: int = PollTable().concurrency


@dataclass(frozen=True, slots=True)
class FindingLimits:
    """How long something may take before it is a finding, in seconds."""

    stale_s: int = FindingsTable().stale_s
    offline_s: int = FindingsTable().offline_s
    gap_s: int = FindingsTable().gap_s
    job_open_s: int = FindingsTable().job_open_s
    insertion_open_s: int = FindingsTable().insertion_open_s
    record_missing_s: int = FindingsTable().record_missing_s


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Everything the centre is told. `database` empty and `evidence` None: in the state directory.

    An address of a database may hold a password: it is shown nowhere.
    """

    name: str = ServerTable().name
    address: str = ServerTable().address
    port: int = ServerTable().port
    hosts: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    insecure_http: bool = False
    database: str = field(default="", repr=False)
    evidence: Path | None = None
    accept_simulated: bool = False
    limits: Limits = Limits()
    poll: Poll = Poll()
    findings: FindingLimits = FindingLimits()
    stations: tuple[StationEntry, ...] = ()
    users: tuple[UserEntry, ...] = ()

    def station(self, name: str) -> StationEntry | None:
        """The station of that id."""
        return next((one for one in self.stations if one.station == name), None)


@dataclass(frozen=True, slots=True)
class ExaminedServer:
    """Settings as far as they could be read, with everything wrong or worth knowing."""

    settings: ServerSettings
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]


def server_setting_names() -> tuple[str, ...]:
    """Every dotted key of a configuration file; lists of tables without their places."""
    return tuple(key.name for key in keys_of(ServerSettingsTable))


def load_server_settings(path: Path | None = None) -> ServerSettings:
    """The settings of a file or directory.

    None and the default path may be missing: then everything has its default. Raises ConfigError
    with every problem; any other path that is missing is one.
    """
    examined = examine_server_settings(path)
    if examined.problems:
        raise ConfigError(examined.problems)
    return examined.settings


def examine_server_settings(path: Path | None = None) -> ExaminedServer:
    """Read as `load_server_settings`, and tell the problems instead of raising them."""
    read: list[tuple[Source, ServerSettingsTable]] = []
    problems: list[Problem] = []
    try:
        files = _files(DEFAULT_PATH if path is None else path)
    except ConfigError as error:
        return ExaminedServer(ServerSettings(), error.problems, ())
    for file in files:
        try:
            source = read_source(file)
            require_schema(source, SCHEMA)
            read.append((source, validated(source, ServerSettingsTable)))
        except ConfigError as error:
            problems += error.problems
    problems += _doubles(read)
    given, notes = _scalars(read)
    found = _Files(problems)
    stations = tuple(
        _station(source, table, place, found)
        for source, whole in read
        for place, table in enumerate(whole.station)
    )
    users = tuple(
        _user(source, table, place, problems)
        for source, whole in read
        for place, table in enumerate(whole.user)
    )
    problems += _binding(given)
    settings = _settings(given, stations, users)
    return ExaminedServer(settings, tuple(sorted(set(problems))), tuple(sorted(notes)))


_Given = dict[tuple[str, str], tuple[Any, Source]]


class _Files:
    """Reads the files that settings name; what is wrong with one is a problem of the key."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    def text(self, source: Source, path: KeyPath, named: str | None, right: str) -> bytes:
        """The file's bytes; empty where it is not named or cannot be read."""
        if named is None:
            return b""
        try:
            return _read(_beside(source, named))
        except (OSError, ValueError) as error:
            self.tell(source, path, unread(error), right)
            return b""

    def tell(self, source: Source, path: KeyPath, message: str, right: str) -> None:
        """A problem with a key."""
        self._problems.append(source.problem(Flaw(path, message, right)))

    def token(self, source: Source, path: KeyPath, named: str | None) -> str:
        """The token in a file: its first line, without the line's end."""
        raw = self.text(source, path, named, "a readable file with a token")
        if named is None or not raw:
            return ""
        token = raw.decode("latin-1").rstrip("\r\n")
        plain = token.isascii() and token.isprintable() and " " not in token
        if not plain or not TOKEN_MIN <= len(token) <= TOKEN_MAX:
            self.tell(source, path, "names a file that holds no token", _TOKEN_RIGHT)
            return ""
        return token


def _station(source: Source, table: StationTable, place: int, files: _Files) -> StationEntry:
    def at(key: str) -> KeyPath:
        return ("station", place, key)

    incoming = files.token(source, at("token_file"), table.token_file)
    digest = table.token_sha256 or ""
    if table.token_sha256 is not None and table.token_file is not None:
        files.tell(source, at("token_file"), "is given besides `token_sha256`", "one of the two")
    if incoming:
        digest = hashlib.sha256(incoming.encode("ascii")).hexdigest()
    if table.url is not None and table.poll_token_file is None:
        right = "a file with the read-only token that the station's settings know"
        files.tell(source, at("poll_token_file"), "is missing, and `url` is given", right)
    expires = _day(source, at("token_expires"), table.token_expires, files.tell)
    keys = {
        key: files.text(source, at(key), named, "a readable file with public keys in PEM")
        for key, named in (("station_key", table.station_key), ("bench_key", table.bench_key))
    }
    for key, held in keys.items():
        if held and b"-----BEGIN PUBLIC KEY-----" not in held:
            message = "names a file that holds no public key"
            files.tell(source, at(key), message, "a file with -----BEGIN PUBLIC KEY-----")
    if keys["station_key"] and keys["station_key"] == keys["bench_key"]:
        files.tell(source, at("bench_key"), "holds the station's own key", "the key of its bench")
    authority = None if table.poll_ca is None else _beside(source, table.poll_ca)
    files.text(source, at("poll_ca"), table.poll_ca, "a readable file with certificates in PEM")
    return StationEntry(
        station=table.station_id,
        url=table.url or "",
        station_keys=keys["station_key"],
        bench_keys=keys["bench_key"],
        token_sha256=digest,
        expires=expires,
        poll_token=files.token(source, at("poll_token_file"), table.poll_token_file),
        poll_ca=authority,
    )


def _user(source: Source, table: UserTable, place: int, problems: list[Problem]) -> UserEntry:
    def tell(at: Source, path: KeyPath, message: str, right: str) -> None:
        problems.append(at.problem(Flaw(path, message, right)))

    return UserEntry(
        user_id=table.user_id,
        name=table.name or table.user_id,
        role=table.role,
        password=table.password or "",
        token_sha256=table.token_sha256 or "",
        expires=_day(source, ("user", place, "token_expires"), table.token_expires, tell),
    )


def _day(
    source: Source,
    path: KeyPath,
    text: str | None,
    tell: Callable[[Source, KeyPath, str, str], None],
) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        tell(source, path, "is no day of the calendar", 'a day such as "2027-03-31"')
        return None


def _binding(given: _Given) -> Iterator[Problem]:
    """TLS whole or not at all, and no plain HTTP where others listen unless it is said aloud."""
    pair = {key: given.get(("server", key), (None, None)) for key in ("tls_certificate", "tls_key")}
    for key, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
        value, source = pair[key]
        if value is not None and source is not None and pair[other][0] is None:
            message = f"is given without `{other}`"
            yield source.problem(Flaw(("server", key), message, "both, or none"))
    address, source = given.get(("server", "address"), (None, None))
    insecure = given.get(("server", "insecure_http"), (False, None))[0]
    has_tls = all(value is not None for value, _ in pair.values())
    if source is not None and not ip_address(str(address)).is_loopback:
        right = '"127.0.0.1", or TLS files, or `insecure_http = true`'
        if not has_tls and not insecure:
            message = "can be reached by others, and there are no TLS files"
            yield source.problem(Flaw(("server", "address"), message, right))


def _settings(
    given: _Given, stations: tuple[StationEntry, ...], users: tuple[UserEntry, ...]
) -> ServerSettings:
    def plain(kind: type[Any], table: str) -> Any:
        known = {one.name for one in fields(kind)}
        return kind(
            **{
                key: value
                for (of, key), (value, _) in given.items()
                if of == table and key in known
            }
        )

    def path(key: str) -> Path | None:
        value, source = given.get(("server", key), (None, None))
        return None if value is None or source is None else _beside(source, str(value))

    server = {key: value for (of, key), (value, _) in given.items() if of == "server"}
    for key in ("tls_certificate", "tls_key", "evidence"):
        server[key] = path(key)
    server["database"] = server.get("database") or ""
    return ServerSettings(
        **server,
        limits=plain(Limits, "limits"),
        poll=plain(Poll, "poll"),
        findings=plain(FindingLimits, "findings"),
        stations=stations,
        users=users,
    )


def _files(path: Path) -> list[Path]:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path == DEFAULT_PATH:
            return []
        right = "a file or directory that exists"
        raise ConfigError([Problem(str(path), 0, "", "does not exist", right)]) from None
    except (OSError, ValueError) as error:
        right = "a file or directory that can be read"
        raise ConfigError([Problem(str(path), 0, "", unread(error), right)]) from None
    return toml_files(path) if stat.S_ISDIR(mode) else [path]


def _scalars(read: list[tuple[Source, ServerSettingsTable]]) -> tuple[_Given, list[Note]]:
    given: _Given = {}
    notes: list[Note] = []
    for source, table in read:
        for key, value in table.scalars().items():
            earlier = given.get(key)
            if earlier is not None and earlier[0] != value:
                message = f"overrides the value in {shown_file(earlier[1].file)}"
                notes.append(source.note(key, message))
            given[key] = (value, source)
    return given, notes


def _doubles(read: list[tuple[Source, ServerSettingsTable]]) -> Iterator[Problem]:
    """What has to be alone, across all files: ids and tokens, of stations and of people."""
    first: dict[tuple[str, object], str] = {}
    for source, table in read:
        for what, name, place, key, value, right in _alone(table):
            here = f"{shown_file(source.file)}:{source.places.line_of((name, place))}"
            if (what, value) in first:
                message = f"is the same as in {first[what, value]}"
                yield source.problem(Flaw((name, place, key), message, right))
            first.setdefault((what, value), here)


def _alone(table: ServerSettingsTable) -> Iterator[tuple[str, str, int, str, object, str]]:
    token = "a token of its own for each"
    for place, one in enumerate(table.station):
        right = "an id of its own for each station"
        yield "station", "station", place, "id", one.station_id, right
        if one.url is not None:
            yield "url", "station", place, "url", one.url, "an address of its own for each station"
        if one.token_sha256 is not None:
            yield "token", "station", place, "token_sha256", one.token_sha256, token
    for place, user in enumerate(table.user):
        yield "user", "user", place, "id", user.user_id, "an id of its own for each person"
        if user.token_sha256 is not None:
            yield "token", "user", place, "token_sha256", user.token_sha256, token


def _beside(source: Source, named: str) -> Path:
    return Path(source.file).parent / named


def _read(path: Path) -> bytes:
    """A small ordinary file, whole. Raises OSError, ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - an open descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            msg = "not an ordinary file"
            raise ValueError(msg)
        data = file.read(KEY_FILE_MAX_BYTES + 1)
    if len(data) > KEY_FILE_MAX_BYTES:
        msg = f"more than {KEY_FILE_MAX_BYTES} bytes"
        raise ValueError(msg)
    return data
