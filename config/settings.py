"""The station's configuration: one TOML file, or a directory of them, to `Settings`.

In a directory every `*.toml` is read in name order. Later files add to the lists of bays, lots and
operators, and override single values; `config check` notes each value that was overridden.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from nullbay.config.pins import Pin, read_pins, write_pins
from nullbay.config.problems import (
    ConfigError,
    Flaw,
    Note,
    Problem,
    UnknownLotError,
    quoted,
    shown_file,
)
from nullbay.config.roles import Act, Role, may
from nullbay.config.services import (
    AdmissionSettings,
    BayRule,
    CentreSettings,
    FileName,
    HttpSettings,
    RecordsSettings,
    StationRules,
)
from nullbay.config.settings_cross import Given, across
from nullbay.config.settings_tables import SCHEMA, SettingsTable
from nullbay.config.source import Source, read_source, require_schema, toml_files, unread
from nullbay.config.tables import keys_of, validated
from nullbay.domain.drive import Bay
from nullbay.domain.ids import BayId, LotRef
from nullbay.domain.lot import Lot, Person

__all__ = [
    "DEFAULT_PATH",
    "Act",
    "AdmissionSettings",
    "BayRule",
    "CentreSettings",
    "Examined",
    "FileName",
    "HttpSettings",
    "Operator",
    "Pin",
    "RecordsSettings",
    "Role",
    "Settings",
    "StationRules",
    "examine_settings",
    "load",
    "read_pins",
    "setting_names",
    "write_pins",
]

DEFAULT_PATH = Path("/etc/nullbay")
POLICIES_FOLDER = "policies"


@dataclass(frozen=True, slots=True)
class Operator:
    """A person known to the station; signed data hold the id, the rest is rendering."""

    operator_id: str
    name: str
    title: str = ""
    role: Role = Role.OPERATOR
    token_sha256: str | None = None
    pin_scrypt: str | None = None
    qualified_until: date | None = None

    def may(self, act: Act) -> bool:
        """Whether the role allows it; whether the person is qualified today is another question."""
        return may(self.role, act)

    def person(self) -> Person:
        """As a record names who took part."""
        return Person(self.role.value, self.operator_id, self.title)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a station is told. As shipped: no bays, nothing unattended, nobody known."""

    organization: str = ""
    station: str = ""
    site: str = ""
    bays: tuple[Bay, ...] = ()
    lots: tuple[Lot, ...] = ()
    operators: tuple[Operator, ...] = ()
    pins: tuple[Pin, ...] = ()
    policies_directory: Path | None = None
    default_policy: str | None = None
    rules: StationRules = field(default_factory=StationRules)
    bay_rules: tuple[BayRule, ...] = ()
    http: HttpSettings = field(default_factory=HttpSettings)
    centre: CentreSettings | None = None
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    records: RecordsSettings = field(default_factory=RecordsSettings)

    def bay_rule(self, bay: str) -> BayRule:
        """How that bay runs; attended where it is not known."""
        known = (rule for rule in self.bay_rules if rule.bay_id == bay)
        return next(known, BayRule(BayId(bay)))

    def runs_unattended(self, bay: str) -> bool:
        """Whether drives inserted there start by themselves: station and bay both say so."""
        return self.rules.unattended and self.bay_rule(bay).unattended

    def policy_of(self, bay: str) -> str | None:
        """The policy named for that bay's jobs, or the default; None where there is none."""
        return self.bay_rule(bay).policy or self.default_policy

    def operator(self, operator_id: str) -> Operator | None:
        """The person of that id, None where there is none."""
        return next((one for one in self.operators if one.operator_id == operator_id), None)

    def lot(self, reference: str) -> Lot:
        """The lot of that reference. Raises UnknownLotError naming the known ones."""
        for lot in self.lots:
            if lot.reference == reference:
                return lot
        known = ", ".join(lot.reference for lot in self.lots[:20]) or "a [[lot]] in the settings"
        raise UnknownLotError([Problem("", 0, "", f"no lot is called {quoted(reference)}", known)])


@dataclass(frozen=True, slots=True)
class Examined:
    """Settings as far as they could be read, with everything wrong or worth knowing.

    `default_policy_source` is the file that names the default policy, if one does;
    `bay_policies` are those that bays name, each with its file and place in it.
    """

    settings: Settings
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]
    default_policy_source: Source | None
    bay_policies: tuple[tuple[Source, int, str], ...] = ()


def setting_names() -> tuple[str, ...]:
    """Every dotted key of a configuration file; lists of tables without their places."""
    return tuple(key.name for key in keys_of(SettingsTable))


def load(path: Path | None = None, *, state: Path | None = None) -> Settings:
    """The settings of a file or directory, with the pins of the state directory if one is given.

    None and the default path may be missing: then everything has its default. Raises ConfigError
    with every problem; any other path that is missing is one.
    """
    examined = examine_settings(path)
    if examined.problems:
        raise ConfigError(examined.problems)
    if state is None:
        return examined.settings
    return replace(examined.settings, pins=read_pins(state))


def examine_settings(path: Path | None = None) -> Examined:
    """Read as `load`, and tell the problems instead of raising them."""
    asked = DEFAULT_PATH if path is None else path
    try:
        files, folder = _files(asked)
    except ConfigError as error:
        return Examined(Settings(), error.problems, (), None)
    read: list[tuple[Source, SettingsTable]] = []
    problems: list[Problem] = []
    for file in files:
        try:
            source = read_source(file)
            require_schema(source, SCHEMA)
            read.append((source, validated(source, SettingsTable)))
        except ConfigError as error:
            problems += error.problems
    problems += _doubles(read)
    given, notes = _scalars(read)
    problems += across(given, read)
    try:
        directory = _policies_directory(given, folder)
    except ConfigError as error:
        directory = None
        problems += error.problems
    settings = _settings(read, given, directory)
    default = given.get(("policies", "default"))
    named = tuple(
        (source, place, bay.policy)
        for source, table in read
        for place, bay in enumerate(table.bay)
        if bay.policy is not None
    )
    notes += _worth_knowing(settings, given)
    found = tuple(problems), tuple(notes)
    return Examined(settings, *found, default[1] if default else None, named)


def _files(path: Path) -> tuple[list[Path], Path | None]:
    """The files to read, and the directory where the configuration is one."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path == DEFAULT_PATH:
            return [], None
        right = "a file or directory that exists"
        raise ConfigError([Problem(str(path), 0, "", "does not exist", right)]) from None
    except (OSError, ValueError) as error:
        right = "a file or directory that can be read"
        raise ConfigError([Problem(str(path), 0, "", unread(error), right)]) from None
    if stat.S_ISDIR(mode):
        return toml_files(path), path
    return [path], None


def _scalars(read: list[tuple[Source, SettingsTable]]) -> tuple[Given, list[Note]]:
    """Single values, the last file's word; a note for each word it took back."""
    given: Given = {}
    notes: list[Note] = []
    for source, table in read:
        for key, value in table.scalars().items():
            earlier = given.get(key)
            if earlier is not None and earlier[0] != value:
                message = f"overrides the value in {shown_file(earlier[1].file)}"
                notes.append(source.note(key, message))
            given[key] = (value, source)
    return given, notes


def _policies_directory(given: Given, folder: Path | None) -> Path | None:
    named = given.get(("policies", "directory"))
    if named is not None and named[0] is not None:
        value, source = named
        directory = Path(source.file).parent / str(value)
        if not _is_directory(directory):
            message = f"is {quoted(str(value))}, which is no folder that can be read"
            path = ("policies", "directory")
            source.refuse([Flaw(path, message, "a folder that exists")])
        return directory
    if folder is not None and _is_directory(folder / POLICIES_FOLDER):
        return folder / POLICIES_FOLDER
    return None


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _settings(
    read: list[tuple[Source, SettingsTable]], given: Given, policies: Path | None
) -> Settings:
    tables = [table for _, table in read]

    def of(table: str, **names: str) -> dict[str, Any]:
        """The given values of a table by the names of the fields they go to."""
        return {
            names.get(key, key): value[0] for (name, key), value in given.items() if name == table
        }

    bays = [bay for table in tables for bay in table.bay]
    http = of("http")
    for key in ("tls_certificate", "tls_key"):
        http[key] = _file(given, "http", key)
    station = of("station")
    default = given.get(("policies", "default"))
    return Settings(
        organization=of("organization").get("name", ""),
        station=station.pop("name", ""),
        site=station.pop("site", ""),
        bays=tuple(Bay(BayId(bay.bay_id), bay.row, bay.column, bay.match) for bay in bays),
        lots=tuple(
            Lot(
                LotRef(lot.reference),
                lot.customer,
                lot.site,
                lot.source,
                lot.work_order,
                lot.data_category,
                lot.destination,
            )
            for table in tables
            for lot in table.lot
        ),
        operators=tuple(
            Operator(
                one.operator_id,
                one.name,
                one.title,
                one.role,
                one.token_sha256,
                one.pin_scrypt,
                one.qualified_until,
            )
            for table in tables
            for one in table.operator
        ),
        policies_directory=policies,
        default_policy=default[0] if default else None,
        rules=StationRules(**station),
        bay_rules=tuple(BayRule(BayId(bay.bay_id), bay.unattended, bay.policy) for bay in bays),
        http=HttpSettings(**http),
        centre=_centre(given),
        admission=AdmissionSettings(**of("admission")),
        records=RecordsSettings(**of("records")),
    )


def _centre(given: Given) -> CentreSettings | None:
    """None where there is none, or a part of it is missing (then that is a problem told)."""
    url = given.get(("centre", "url"))
    token, key = _file(given, "centre", "token_file"), _file(given, "centre", "public_key_file")
    if url is None or url[0] is None or token is None or key is None:
        return None
    heartbeat = given.get(("centre", "heartbeat_s"))
    return CentreSettings(url[0], token, key, heartbeat[0] if heartbeat else 0)


def _file(given: Given, table: str, key: str) -> FileName | None:
    value, source = given.get((table, key), (None, None))
    if value is None or source is None:
        return None
    return FileName(value, Path(source.file).parent)


def _worth_knowing(settings: Settings, given: Given) -> Iterator[Note]:
    insecure = given.get(("http", "insecure_http"))
    if insecure is not None and insecure[0] and settings.http.is_exposed:
        message = "lets passwords and cookies cross the network readable"
        yield insecure[1].note(("http", "insecure_http"), message)
    unattended = given.get(("station", "unattended"))
    nobody = not any(rule.unattended for rule in settings.bay_rules)
    if unattended is not None and unattended[0] and nobody:
        message = "is true and no bay is unattended: nothing starts by itself"
        yield unattended[1].note(("station", "unattended"), message)


def _doubles(read: list[tuple[Source, SettingsTable]]) -> Iterator[Problem]:
    """What has to be alone, across all files: ids, places and paths of bays, tokens."""
    first: dict[tuple[str, object], str] = {}
    for source, table in read:
        for name, place, key, value, right in _alone(table):
            about = (f"{name}.{key}", value)
            here = f"{shown_file(source.file)}:{source.places.line_of((name, place))}"
            if about in first:
                message = f"is the same as in {first[about]}"
                yield source.problem(Flaw((name, place, key), message, right))
            first.setdefault(about, here)


def _alone(table: SettingsTable) -> Iterator[tuple[str, int, str, object, str]]:
    for place, bay in enumerate(table.bay):
        yield "bay", place, "id", bay.bay_id, "an id of its own for each bay"
        yield "bay", place, "column", (bay.row, bay.column), "a position of its own for each bay"
        yield "bay", place, "match", bay.match, "a path of its own for each bay"
    for place, lot in enumerate(table.lot):
        yield "lot", place, "reference", lot.reference, "a reference of its own for each lot"
    for place, one in enumerate(table.operator):
        yield "operator", place, "id", one.operator_id, "an id of its own for each person"
        if one.token_sha256 is not None:
            right = "a token of its own for each person"
            yield "operator", place, "token_sha256", one.token_sha256, right
