"""The tables of the centre's configuration, `nullbay.server-config/1`."""

from __future__ import annotations

import enum
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from nullbay.config.tables import GivenText, Right, Table, Text, fault, one_of

SCHEMA = "nullbay.server-config/1"
LIST_MAX = 10_000
PATH_MAX = 1024
_DAY = 86_400
_ADDRESS_RIGHT = 'an IP address such as "127.0.0.1" or "::"'
_DATABASE_RIGHT = '"postgresql+psycopg://…" or "sqlite:////path/of/a/file"'
_HASH_RIGHT = 'what `nullbay config password` prints, beginning "scrypt$"'
_URL_RIGHT = 'an address such as "https://bench-1.example.org:8443", without a path'


class UserRole(enum.StrEnum):
    """What somebody at the centre may do; each may all that the one before may."""

    VIEWER = "viewer"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise fault("is no IP address", _ADDRESS_RIGHT) from None


def _database(text: str) -> str:
    """The value may hold a password, so that no message repeats it."""
    if not text.isprintable() or not text.startswith(("postgresql+psycopg://", "sqlite:////")):
        raise fault("is no address of a database that nullbay knows", _DATABASE_RIGHT)
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise fault("is no address", _URL_RIGHT) from None
    is_plain = text.isascii() and text.isprintable() and " " not in text
    if not is_plain or parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise fault("is no address of a station", _URL_RIGHT)
    if parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username is not None:
        raise fault("holds more than scheme, host and port", _URL_RIGHT)
    return text.rstrip("/")


def _between(low: int, high: int) -> Right:
    return Right(f"a whole number, {low} to {high}")


PathText = Annotated[str, StringConstraints(min_length=1, max_length=PATH_MAX)]
_FILE = Right("a path to a file", "none")
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_SHA256 = Right("64 lower-case hex digits", "none")
_Expiry = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")
]
_EXPIRY = Right('a day such as "2027-03-31"', "never")


class ServerTable(Table):
    """`[server]`: the centre itself."""

    name: Annotated[GivenText, Field(description="Name of the centre, shown on its pages")] = (
        "centre"
    )
    address: Annotated[
        str,
        AfterValidator(_address),
        Field(
            description="Address to listen on. Any but a loopback address needs TLS files, or"
            " `insecure_http`"
        ),
        Right(_ADDRESS_RIGHT),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one and says which"),
        _between(0, 65535),
    ] = 8480
    hosts: Annotated[
        tuple[
            Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.:-]{0,251}[a-z0-9])?$")],
            ...,
        ],
        Field(
            strict=False,
            max_length=100,
            description="Names, without ports, by which the centre is reached; a request for"
            " another name is refused",
        ),
        Right('a list of host names in lower case, such as ["centre.example.org"]', "none"),
    ] = ()
    tls_certificate: Annotated[
        PathText | None,
        Field(description="Certificate chain in PEM; with it the centre speaks HTTPS"),
        _FILE,
    ] = None
    tls_key: Annotated[
        PathText | None, Field(description="Private key of the certificate in PEM"), _FILE
    ] = None
    insecure_http: Annotated[
        bool,
        Field(
            description="Speak plain HTTP on an address that others reach: everybody on the way"
            " reads tokens and records. Every page says so"
        ),
        Right("true or false"),
    ] = False
    database: Annotated[
        Annotated[
            str, StringConstraints(min_length=1, max_length=PATH_MAX), AfterValidator(_database)
        ]
        | None,
        Field(description="Where rows are kept. PostgreSQL (tested with 15), or an SQLite file"),
        Right(_DATABASE_RIGHT, "`centre.sqlite3` in the state directory"),
    ] = None
    evidence: Annotated[
        PathText | None,
        Field(description="Folder for evidence archives; relative to the file that names it"),
        Right("a path to a folder", "`evidence` in the state directory"),
    ] = None
    accept_simulated: Annotated[
        bool,
        Field(
            description="Take records of drives made of software too. For demonstrations; never"
            " beside real ones"
        ),
        Right("true or false"),
    ] = False


class LimitsTable(Table):
    """`[limits]`: how much the centre takes."""

    evidence_max_bytes: Annotated[
        int,
        Field(ge=1024, le=512 * 1024 * 1024, description="Largest evidence archive taken"),
        _between(1024, 512 * 1024 * 1024),
    ] = 512 * 1024 * 1024
    reserve_bytes: Annotated[
        int,
        Field(
            ge=0,
            le=2**50,
            description="Room that stays free in the evidence folder; below it the centre refuses"
            " with 507 and stations wait",
        ),
        _between(0, 2**50),
    ] = 256 * 1024 * 1024
    deliveries_at_once: Annotated[
        int,
        Field(ge=1, le=1000, description="Deliveries handled at once; more get 503 and come again"),
        _between(1, 1000),
    ] = 32
    refused_kept: Annotated[
        int,
        Field(ge=10, le=100_000, description="Digests of refused things kept for each station"),
        _between(10, 100_000),
    ] = 1000


class PollTable(Table):
    """`[poll]`: asking stations how they are."""

    interval_s: Annotated[
        int,
        Field(ge=1, le=_DAY, description="Seconds between two questions to the same station"),
        _between(1, _DAY),
    ] = 30
    deadline_s: Annotated[
        int,
        Field(ge=1, le=600, description="Seconds until an answer must be there, whole"),
        _between(1, 600),
    ] = 10
    concurrency: Annotated[
        int,
        Field(ge=1, le=1000, description="Stations asked at once"),
        _between(1, 1000),
    ] = 16


class FindingsTable(Table):
    """`[findings]`: how long something may take before somebody has to look."""

    stale_s: Annotated[
        int,
        Field(ge=1, le=_DAY, description="A status older than this is stale"),
        _between(1, _DAY),
    ] = 120
    offline_s: Annotated[
        int,
        Field(
            ge=1, le=30 * _DAY, description="A station silent for longer is offline, and a finding"
        ),
        _between(1, 30 * _DAY),
    ] = 900
    gap_s: Annotated[
        int,
        Field(ge=1, le=30 * _DAY, description="Missing ledger entries, later ones waiting"),
        _between(1, 30 * _DAY),
    ] = 300
    job_open_s: Annotated[
        int,
        Field(
            ge=1,
            le=366 * _DAY,
            description="A job that was started, is not concluded and is not shown by its station",
        ),
        _between(1, 366 * _DAY),
    ] = 7 * _DAY
    insertion_open_s: Annotated[
        int,
        Field(
            ge=1,
            le=366 * _DAY,
            description="A drive whose job is concluded, whose stay is not closed, and that is not"
            " shown by its station",
        ),
        _between(1, 366 * _DAY),
    ] = _DAY
    record_missing_s: Annotated[
        int,
        Field(ge=1, le=366 * _DAY, description="A concluded job whose record did not arrive"),
        _between(1, 366 * _DAY),
    ] = 3600


class StationTable(Table):
    """`[[station]]`: a station that delivers here."""

    station_id: Annotated[
        GivenText,
        Field(alias="id", description="Its name, the same as `station.name` in its own settings"),
    ]
    url: Annotated[
        Annotated[str, StringConstraints(max_length=300), AfterValidator(_url)] | None,
        Field(
            description="Where it is asked for its status; without it, it has to send heartbeats"
        ),
        Right(_URL_RIGHT, "not asked"),
    ] = None
    station_key: Annotated[
        PathText,
        Field(
            description="File with the public keys that sign its records, PEM; past ones too"
            " (`nullbay key show`)"
        ),
        Right("a path to a file"),
    ]
    bench_key: Annotated[
        PathText,
        Field(description="File with the public keys of its bench, PEM; never the same keys"),
        Right("a path to a file"),
    ]
    token_sha256: Annotated[
        _Sha256 | None,
        Field(description="SHA-256 of the token it delivers with; this or `token_file`"),
        _SHA256,
    ] = None
    token_file: Annotated[
        PathText | None, Field(description="File with the token it delivers with"), _FILE
    ] = None
    token_expires: Annotated[
        _Expiry | None,
        Field(description="Last day, in UTC, on which that token is taken"),
        _EXPIRY,
    ] = None
    poll_token_file: Annotated[
        PathText | None,
        Field(description="File with the read-only token for asking it; needed with `url`"),
        _FILE,
    ] = None
    poll_ca: Annotated[
        PathText | None,
        Field(
            description="Certificates in PEM that its HTTPS is checked with, instead of the"
            " system's"
        ),
        _FILE,
    ] = None


class UserTable(Table):
    """`[[user]]`: a person who may look at the centre, or a script of theirs."""

    user_id: Annotated[
        str,
        StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$"),
        Field(alias="id", description="Name to log in with; acknowledgements carry it"),
        Right('1 to 32 of a-z, 0-9, ".", "_" or "-"'),
    ]
    name: Annotated[Text, Field(description="Name of the person; the id where empty")] = ""
    role: Annotated[
        UserRole,
        Field(
            strict=False,
            description="What the person may do: see; also check and export; also acknowledge;"
            " everything",
        ),
        one_of(UserRole),
    ] = UserRole.VIEWER
    password: Annotated[
        Annotated[
            str,
            StringConstraints(
                max_length=256,
                pattern=r"^scrypt\$(1[4-8])\$([1-9]|1[0-6])\$[1-4]"
                r"\$[A-Za-z0-9+/]{22,88}={0,2}\$[A-Za-z0-9+/]{43}=$",
            ),
        ]
        | None,
        Field(description="The password's hash, never the password"),
        Right(_HASH_RIGHT, "no password login"),
    ] = None
    token_sha256: Annotated[
        _Sha256 | None,
        Field(description="SHA-256 of a bearer token for scripts, never the token"),
        _SHA256,
    ] = None
    token_expires: Annotated[
        _Expiry | None,
        Field(description="Last day, in UTC, on which that token is taken"),
        _EXPIRY,
    ] = None


class ServerSettingsTable(Table):
    """One configuration file of the centre as a whole."""

    schema_name: Annotated[
        Literal["nullbay.server-config/1"],
        Field(alias="schema", description="Name and version of this form, in every file"),
        Right(f'"{SCHEMA}"'),
    ]
    server: ServerTable = ServerTable()
    limits: LimitsTable = LimitsTable()
    poll: PollTable = PollTable()
    findings: FindingsTable = FindingsTable()
    station: Annotated[tuple[StationTable, ...], Field(strict=False, max_length=LIST_MAX)] = ()
    user: Annotated[tuple[UserTable, ...], Field(strict=False, max_length=LIST_MAX)] = ()

    def scalars(self) -> dict[tuple[str, str], Any]:
        """The single values this file itself gives, by table and key."""
        given: dict[tuple[str, str], Any] = {}
        for name in ("server", "limits", "poll", "findings"):
            table: Table = getattr(self, name)
            given |= {(name, key): getattr(table, key) for key in sorted(table.model_fields_set)}
        return given
