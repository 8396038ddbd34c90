"""The tables of a station's configuration, `nullbay.config/1`: keys, types, defaults, meanings."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from nullbay.config import person_pin
from nullbay.config.problems import quoted
from nullbay.config.roles import Role
from nullbay.config.service_tables import (
    AdmissionTable,
    CentreTable,
    HttpTable,
    RecordsTable,
    Sha256,
)
from nullbay.config.tables import GivenText, Right, Table, Text, one_of
from nullbay.domain.lot import DataCategory, Destination

SCHEMA = "nullbay.config/1"
LIST_MAX = 10_000
SINGLE_TABLES = (
    "organization",
    "station",
    "policies",
    "http",
    "centre",
    "admission",
    "records",
)
POSITION_MAX = 999
_WILDCARDS = frozenset("*?[")
_FOLDERS_BEFORE_WILDCARD = 2
_MATCH_RIGHT = (
    'a path below "/sys/devices/" with at least two folders before the first wildcard; virtual'
    " devices, fabrics and all else without wildcards"
)


def _match(text: str) -> str:
    """A glob too wide, or of no canonical path, puts the wrong drive into a wipe bay, or none."""
    wild = next((place for place, one in enumerate(text) if one in _WILDCARDS), None)
    literal = text if wild is None else text[:wild]
    if text.startswith(("/dev/", "/sys/")) and not text.startswith("/sys/devices/"):
        msg = f"is {quoted(text)}, which is no canonical sysfs path and would never match"
        raise ValueError(msg)
    if not text.startswith(("/", "nqn.")):
        msg = f"is {quoted(text)}, neither a path nor an NVMe subsystem name"
        raise ValueError(msg)
    if wild is None:
        return text
    if literal.startswith("/sys/devices/virtual/") or not literal.startswith("/sys/devices/"):
        msg = "has a wildcard where a device matches only if named in full"
        raise ValueError(msg)
    if literal.removeprefix("/sys/devices/").count("/") < _FOLDERS_BEFORE_WILDCARD:
        msg = "is so wide that it may hold the station's own disks"
        raise ValueError(msg)
    return text


class OrganizationTable(Table):
    """`[organization]`: who runs the station."""

    name: Annotated[Text, Field(description="Name of the organization, as on its documents")] = ""


class StationTable(Table):
    """`[station]`: this machine."""

    name: Annotated[Text, Field(description="Name of the station, unique in the organization")] = ""
    site: Annotated[Text, Field(description="Where it stands, as on its documents")] = ""
    unattended: Annotated[
        bool,
        Field(
            description="Whether bays that are unattended themselves start by themselves, after a"
            " countdown, while a lot is active for them"
        ),
        Right("true or false"),
    ] = False
    countdown_s: Annotated[
        int,
        Field(
            ge=5,
            le=3600,
            description="How long a bay counts down before it starts by itself; pulling the drive"
            " cancels it",
        ),
        Right("a whole number, 5 to 3600"),
    ] = 30
    settle_s: Annotated[
        int,
        Field(
            ge=1,
            le=300,
            description="How long a drive has to stand unchanged after it appeared, before it is"
            " looked at",
        ),
        Right("a whole number, 1 to 300"),
    ] = 3
    idle_lock_s: Annotated[
        int,
        Field(
            ge=15,
            le=86_400,
            description="After how long without a touch or a scan a person at the console has to"
            " give the PIN again",
        ),
        Right("a whole number, 15 to 86400"),
    ] = 300


class BayTable(Table):
    """`[[bay]]`: a place whose drives may be wiped."""

    bay_id: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$"),
        Field(alias="id", description="Name of the bay, as on its label"),
        Right('1 to 32 letters, digits, ".", "_" or "-", such as "A1"'),
    ]
    row: Annotated[
        int,
        Field(ge=1, le=POSITION_MAX, description="Row on the rack, counted from the top"),
        Right(f"a whole number, 1 to {POSITION_MAX}"),
    ]
    column: Annotated[
        int,
        Field(ge=1, le=POSITION_MAX, description="Column on the rack, counted from the left"),
        Right(f"a whole number, 1 to {POSITION_MAX}"),
    ]
    match: Annotated[
        str,
        StringConstraints(min_length=1, max_length=1024),
        AfterValidator(_match),
        Field(
            description="Glob on the canonical sysfs path of the device in this bay. Loop, virtual"
            " and fabric devices match only where named literally, a fabric by its NVMe subsystem"
            " name"
        ),
        Right(_MATCH_RIGHT),
    ]
    unattended: Annotated[
        bool,
        Field(
            description="Whether drives inserted here start by themselves where"
            " `station.unattended` allows it"
        ),
        Right("true or false"),
    ] = False
    policy: Annotated[
        GivenText | None,
        Field(description="Policy of this bay's jobs; `policies.default` where none is named"),
        Right('a known policy, such as "nist-clear" or "nist-clear/1"', "none"),
    ] = None


class LotTable(Table):
    """`[[lot]]`: a batch of drives of one customer."""

    reference: Annotated[
        GivenText, Field(description="What the lot is called by; `--lot` takes it")
    ]
    customer: Annotated[Text, Field(description="Whose drives these are")] = ""
    site: Annotated[Text, Field(description="Where they were in use")] = ""
    source: Annotated[Text, Field(description="How they came here: collection, delivery note")] = ""
    work_order: Annotated[Text, Field(description="Number of the order they belong to")] = ""
    data_category: Annotated[
        DataCategory | None,
        Field(
            strict=False,
            description="Confidentiality of the data; with the destination it selects the method"
            " that the policy's rules require",
        ),
        Right(one_of(DataCategory).text, "not known"),
    ] = None
    destination: Annotated[
        Destination | None,
        Field(
            strict=False,
            description="What becomes of the media; unknown counts as leaving the organization",
        ),
        Right(one_of(Destination).text, "not known"),
    ] = None


class OperatorTable(Table):
    """`[[operator]]`: a person known to the station."""

    operator_id: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"),
        Field(alias="id", description="What signed records name the person by; never used again"),
        Right('1 to 64 letters, digits, ".", "_", "@" or "-"'),
    ]
    name: Annotated[GivenText, Field(description="Name of the person; rendering only")]
    title: Annotated[Text, Field(description="Position, as on a certificate")] = ""
    role: Annotated[
        Role,
        Field(
            strict=False,
            description="What the person does: runs jobs, verifies, accepts or rejects results,"
            " concurs, keeps custody",
        ),
        one_of(Role),
    ] = Role.OPERATOR
    token_sha256: Annotated[
        Sha256 | None,
        Field(
            description="SHA-256 of what is on the person's badge. Without a PIN it is a bearer"
            " token for scripts instead. Never the token itself"
        ),
        Right("64 lower-case hex digits", "none"),
    ] = None
    pin_scrypt: Annotated[
        Annotated[str, StringConstraints(max_length=256), AfterValidator(person_pin.checked_text)]
        | None,
        Field(
            description="The person's PIN, hashed: `nullbay config pin` prints it. It is asked for"
            " at the console after the badge"
        ),
        Right(person_pin.RIGHT, "none"),
    ] = None
    qualified_until: Annotated[
        date | None,
        Field(
            description="Last day (UTC) of the person's qualification; after it the person is"
            " refused"
        ),
        Right("a date without quotes, such as 2027-03-31", "without end"),
    ] = None


class PoliciesTable(Table):
    """`[policies]`: which policies there are besides the shipped ones."""

    directory: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None,
        Field(
            description="Folder of own policies, `*.toml`; relative to the file that names it."
            " Where the configuration is a folder, its `policies` folder is taken if it exists"
        ),
        Right("a path to a folder", "`policies` beside the files, if there"),
    ] = None
    default: Annotated[
        GivenText | None,
        Field(description="Policy of jobs for which nobody names one"),
        Right('a known policy, such as "nist-clear" or "nist-clear/1"', "none"),
    ] = None


class SettingsTable(Table):
    """One configuration file as a whole."""

    schema_name: Annotated[
        Literal["nullbay.config/1"],
        Field(alias="schema", description="Name and version of this form, in every file"),
        Right(f'"{SCHEMA}"'),
    ]
    organization: OrganizationTable = OrganizationTable()
    station: StationTable = StationTable()
    policies: PoliciesTable = PoliciesTable()
    http: HttpTable = HttpTable()
    centre: CentreTable = CentreTable()
    admission: AdmissionTable = AdmissionTable()
    records: RecordsTable = RecordsTable()
    bay: Annotated[tuple[BayTable, ...], Field(strict=False, max_length=LIST_MAX)] = ()
    lot: Annotated[tuple[LotTable, ...], Field(strict=False, max_length=LIST_MAX)] = ()
    operator: Annotated[tuple[OperatorTable, ...], Field(strict=False, max_length=LIST_MAX)] = ()

    def scalars(self) -> dict[tuple[str, str], Any]:
        """The single values this file itself gives, by table and key."""
        given: dict[tuple[str, str], Any] = {}
        for name in SINGLE_TABLES:
            table: Table = getattr(self, name)
            given |= {(name, key): getattr(table, key) for key in sorted(table.model_fields_set)}
        return given
