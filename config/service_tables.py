"""The tables of a station's configuration about its services: HTTP, centre, admission, records."""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from typing import Annotated, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from nullbay.config.problems import quoted
from nullbay.config.tables import Right, Table

HOSTS_MAX = 64
MEBIBYTE = 1024 * 1024
EXABYTE = 10**18
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)

Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileText: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")
]

_FILE = Right("a path to a file", "none")
_COUNT = Right("a whole number, 0 or more", "")


def is_loopback(host: str) -> bool:
    """Whether an address or host name of a URL never leaves this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        msg = f"is {quoted(text)}, which is no IP address"
        raise ValueError(msg) from None
    return text


def _host(text: str) -> str:
    if _HOST.fullmatch(text) or _is_address(text):
        return text
    msg = f"is {quoted(text)}, which is no host name in lower case without a port"
    raise ValueError(msg)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _url(text: str) -> str:
    """Where the centre is; a token must not cross a network in the clear."""
    split = _split(text)
    if split is None or split.scheme not in {"http", "https"} or not split.hostname:
        msg = f"is {quoted(text)}, which is no address of a web server"
        raise ValueError(msg)
    if split.username is not None or split.query or split.fragment or split.path not in {"", "/"}:
        msg = "holds more than scheme, host and port"
        raise ValueError(msg)
    if split.scheme == "http" and not is_loopback(split.hostname):
        msg = "would send the station's token unencrypted"
        raise ValueError(msg)
    return text.rstrip("/")


def _split(text: str) -> SplitResult | None:
    """None where it cannot be split, or its port is none."""
    if not text.isascii() or not text.isprintable() or " " in text:
        return None
    try:
        split = urlsplit(text)
        _ = split.port
    except ValueError:
        return None
    return split


class HttpTable(Table):
    """`[http]`: where the console and the API are served."""

    address: Annotated[
        str,
        StringConstraints(max_length=64),
        AfterValidator(_address),
        Field(
            description="IP address that is listened on. Any but this machine's own needs"
            " `http.tls_certificate`, or `http.insecure_http`"
        ),
        Right('an IP address, such as "127.0.0.1" or "0.0.0.0"'),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Field(ge=1, le=65_535, description="TCP port"),
        Right("a whole number, 1 to 65535"),
    ] = 8420
    hosts: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=253), AfterValidator(_host)], ...],
        Field(
            strict=False,
            max_length=HOSTS_MAX,
            description="Names by which browsers and scripts call the station, besides the address"
            ' itself and "localhost". A request for any other is refused',
        ),
        Right(f"a list of at most {HOSTS_MAX} host names in lower case, without ports", "none"),
    ] = ()
    tls_certificate: Annotated[
        FileText | None,
        Field(description="Certificate chain in PEM; with `http.tls_key`"),
        _FILE,
    ] = None
    tls_key: Annotated[
        FileText | None, Field(description="Its private key in PEM, unencrypted"), _FILE
    ] = None
    insecure_http: Annotated[
        bool,
        Field(
            description="Serve other machines without TLS: passwords and cookies cross the network"
            " readable. The console says so in red"
        ),
        Right("true or false"),
    ] = False
    status_token_sha256: Annotated[
        Sha256 | None,
        Field(
            description="SHA-256 of the token that reads `/v1/status` and `/metrics`, nothing else"
        ),
        Right("64 lower-case hex digits", "none"),
    ] = None


class CentreTable(Table):
    """`[centre]`: the server that receives the records."""

    url: Annotated[
        Annotated[str, StringConstraints(max_length=512), AfterValidator(_url)] | None,
        Field(
            description="Where the centre is; without it nothing is sent. Plain HTTP only on this"
            " machine"
        ),
        Right('"https://" with a host and perhaps a port', "none"),
    ] = None
    token_file: Annotated[
        FileText | None, Field(description="File that holds the station's bearer token"), _FILE
    ] = None
    public_key_file: Annotated[
        FileText | None,
        Field(description="The centre's public key in PEM; only receipts it signed count"),
        _FILE,
    ] = None
    heartbeat_s: Annotated[
        int,
        Field(
            ge=0,
            le=86_400,
            description="How often the station sends its status; 0 where the centre asks for it",
        ),
        Right("a whole number, 0 to 86400"),
    ] = 0


class AdmissionTable(Table):
    """`[admission]`: how much runs at once."""

    jobs_max: Annotated[
        int,
        Field(ge=0, le=10_000, description="Jobs that run at once; 0 for one in every bay"),
        Right("a whole number, 0 to 10000"),
    ] = 0
    bytes_per_s_total: Annotated[
        int,
        Field(ge=0, le=EXABYTE, description="Bytes per second of all jobs together; 0: no limit"),
        _COUNT,
    ] = 0
    bytes_per_s_per_hba: Annotated[
        int,
        Field(ge=0, le=EXABYTE, description="Bytes per second of the jobs on one HBA; 0: no limit"),
        _COUNT,
    ] = 0
    memory_available_min_bytes: Annotated[
        int,
        Field(
            ge=0,
            le=EXABYTE,
            description="No job starts while the station has less available memory than this",
        ),
        _COUNT,
    ] = 256 * MEBIBYTE
    load_per_cpu_max: Annotated[
        Decimal,
        Field(
            strict=False,
            gt=0,
            le=1000,
            allow_inf_nan=False,
            description="No job starts while the load of one minute, divided by the number of CPUs,"
            " is above this. Writing counts as load: drives that are waited for are in it",
        ),
        Right("a number above 0, at most 1000"),
    ] = Decimal(32)
    retries: Annotated[
        int,
        Field(
            ge=0,
            le=10,
            description="How often a job that ended NOT_SANITIZED or INDETERMINATE is tried again"
            " on the same stay, by itself, in an unattended bay",
        ),
        Right("a whole number, 0 to 10"),
    ] = 0


class RecordsTable(Table):
    """`[records]`: room for evidence."""

    reserve_bytes_per_job: Annotated[
        int,
        Field(
            ge=MEBIBYTE,
            le=EXABYTE,
            description="Room on the disk that is reserved for each job's records before it starts;"
            " without it no job starts",
        ),
        Right(f"a whole number, at least {MEBIBYTE}"),
    ] = 64 * MEBIBYTE
