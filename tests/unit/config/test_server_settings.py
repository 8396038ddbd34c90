"""The centre's configuration: whole or not at all, every problem with file, line and key."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.config import server_markdown
from nullbay.config.problems import ConfigError, Problem
from nullbay.config.server_settings import (
    FindingLimits,
    Limits,
    Poll,
    ServerSettings,
    StationEntry,
    UserEntry,
    UserRole,
    examine_server_settings,
    load_server_settings,
    server_setting_names,
)
from support import evidence_factory as factory
from support.tree import TOP

HEAD = 'schema = "nullbay.server-config/1"\n'
TOKEN = "t0" * 16
SHA = "0123456789abcdef" * 4
PASSWORD = f"scrypt$15$8$1${'A' * 22}==${'B' * 43}="
STATION, BENCH = factory.signer("bench-1"), factory.signer("bench-1-bench")
ONE = '[[station]]\nid = "bench-1"\nstation_key = "s.pem"\nbench_key = "b.pem"\n'
EVERYTHING = f"""\
{HEAD}
[server]
name = "Middle"
address = "::"
port = 9000
hosts = ["centre.example.org"]
tls_certificate = "c.pem"
tls_key = "c.key"
database = "postgresql+psycopg://nullbay@/nullbay"
evidence = "archives"

[limits]
evidence_max_bytes = 2048
reserve_bytes = 0
deliveries_at_once = 3
refused_kept = 10

[poll]
interval_s = 5
deadline_s = 2
concurrency = 1

[findings]
stale_s = 1
offline_s = 2
gap_s = 3
job_open_s = 4
insertion_open_s = 5
record_missing_s = 6

{ONE}url = "https://bench-1.example.org:8443/"
token_file = "token"
token_expires = "2027-12-31"
poll_token_file = "poll-token"
poll_ca = "c.pem"

[[station]]
id = "Bank, vault 2"
station_key = "s.pem"
bench_key = "b.pem"
token_sha256 = "{SHA}"

[[user]]
id = "ada"
name = "Ada Example"
role = "administrator"
password = "{PASSWORD}"
token_sha256 = "{SHA[::-1]}"
token_expires = "2026-12-31"

[[user]]
id = "bob"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in {
        "s.pem": STATION.public_key_pem,
        "b.pem": BENCH.public_key_pem,
        "c.pem": b"certificate",
        "c.key": b"key",
        "token": TOKEN.encode() + b"\n",
        "poll-token": b"p" * 20,
        "short": b"short\n",
        "two-lines": b"t" * 20 + b"\n" + b"t" * 20,
        "huge": b"x" * 70_000,
    }.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def put(folder: Path, text: str, name: str = "centre.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> tuple[Problem, ...]:
    return examine_server_settings(put(folder, text)).problems


def test_everything_is_read(folder: Path) -> None:
    read = load_server_settings(put(folder, EVERYTHING))
    assert read == ServerSettings(
        name="Middle",
        address="::",
        port=9000,
        hosts=("centre.example.org",),
        tls_certificate=folder / "c.pem",
        tls_key=folder / "c.key",
        database="postgresql+psycopg://nullbay@/nullbay",
        evidence=folder / "archives",
        limits=Limits(2048, 0, 3, 10),
        poll=Poll(5, 2, 1),
        findings=FindingLimits(1, 2, 3, 4, 5, 6),
        stations=(
            StationEntry(
                station="bench-1",
                url="https://bench-1.example.org:8443",
                station_keys=STATION.public_key_pem,
                bench_keys=BENCH.public_key_pem,
                token_sha256=hashlib.sha256(TOKEN.encode()).hexdigest(),
                expires=date(2027, 12, 31),
                poll_token="p" * 20,
                poll_ca=folder / "c.pem",
            ),
            StationEntry(
                station="Bank, vault 2",
                url="",
                station_keys=STATION.public_key_pem,
                bench_keys=BENCH.public_key_pem,
                token_sha256=SHA,
                expires=None,
                poll_token="",
                poll_ca=None,
            ),
        ),
        users=(
            UserEntry(
                "ada",
                "Ada Example",
                UserRole.ADMINISTRATOR,
                PASSWORD,
                SHA[::-1],
                date(2026, 12, 31),
            ),
            UserEntry("bob", "bob", UserRole.VIEWER, "", "", None),
        ),
    )
    assert read.station("bench-1") is read.stations[0]
    assert read.station("nobody") is None
    for secret in ("p" * 20, PASSWORD, SHA, "postgresql"):
        assert secret not in repr(read)


def test_the_test_above_names_every_key() -> None:
    given = set(re.findall(r"^(\w+) =", EVERYTHING, re.MULTILINE))
    named = {name.rpartition(".")[2] for name in server_setting_names()}
    assert named - given == {"insecure_http", "accept_simulated"}


def test_nothing_configured_is_a_centre_for_nobody() -> None:
    assert not ServerSettings().stations
    assert not ServerSettings().users
    assert ServerSettings().address == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("", 1, "schema", "is missing"),
        ('schema = "nullbay.server-config/2"', 1, "schema", "does not know"),
        ('schema = "nullbay.config/1"', 1, "schema", "does not know"),
        (f"{HEAD}[server]\nadress = 1", 3, "server.adress", "is not a known key"),
        (f"{HEAD}[server]\nport = 65536", 3, "server.port", "out of range"),
        (f'{HEAD}[server]\naddress = "host"', 3, "server.address", "no IP address"),
        (f'{HEAD}[server]\naddress = "0.0.0.0"', 3, "server.address", "reached by others"),
        (f'{HEAD}[server]\ntls_key = "c.key"', 3, "server.tls_key", "without `tls_certificate`"),
        (f'{HEAD}[server]\ndatabase = "mysql://"', 3, "server.database", "no address"),
        (f'{HEAD}[server]\nhosts = ["A"]', 3, "server.hosts", "right form"),
        (f"{HEAD}[poll]\ninterval_s = 0", 3, "poll.interval_s", "out of range"),
        (f"{HEAD}[findings]\ngap_s = 1.5", 3, "findings.gap_s", "fraction"),
        (f'{HEAD}[[station]]\nid = "x"', 2, "station.bench_key", "is missing"),
        (f'{HEAD}{ONE}url = "ftp://x"', 6, "station.url", "no address of a station"),
        (f'{HEAD}{ONE}url = "http://u@x"', 6, "station.url", "more than scheme"),
        (f'{HEAD}{ONE}url = "http://x/y"', 6, "station.url", "more than scheme"),
        (f'{HEAD}{ONE}url = "http://x:99999"', 6, "station.url", "is no address"),
        (f'{HEAD}{ONE}url = "http://x"', 2, "station.poll_token_file", "`url` is given"),
        (f'{HEAD}{ONE}token_file = "short"', 6, "station.token_file", "holds no token"),
        (f'{HEAD}{ONE}token_file = "two-lines"', 6, "station.token_file", "holds no token"),
        (f'{HEAD}{ONE}token_file = "none"', 6, "station.token_file", "cannot be read"),
        (f'{HEAD}{ONE}token_file = "huge"', 6, "station.token_file", "more than 65536"),
        (f'{HEAD}{ONE}token_file = "/dev/null"', 6, "station.token_file", "ordinary file"),
        (f'{HEAD}{ONE}token_expires = "2027-02-30"', 6, "station.token_expires", "calendar"),
        (f'{HEAD}{ONE}token_expires = "soon"', 6, "station.token_expires", "right form"),
        (
            f'{HEAD}{ONE}token_file = "token"\ntoken_sha256 = "{SHA}"',
            6,
            "station.token_file",
            "besides",
        ),
        (f"{HEAD}{ONE.replace('b.pem', 's.pem')}", 5, "station.bench_key", "own key"),
        (f"{HEAD}{ONE.replace('b.pem', 'token')}", 5, "station.bench_key", "no public key"),
        (f"{HEAD}{ONE}{ONE}", 7, "station.id", "the same as in"),
        (f'{HEAD}[[user]]\nid = "Ada"', 3, "user.id", "right form"),
        (f'{HEAD}[[user]]\nid = "a"\nrole = "admin"', 4, "user.role", "not known"),
        (f'{HEAD}[[user]]\nid = "a"\npassword = "secret"', 4, "user.password", "right form"),
        (f'{HEAD}[[user]]\nid = "a"\n[[user]]\nid = "a"', 5, "user.id", "the same as in"),
        (
            f'{HEAD}[[user]]\nid = "a"\ntoken_sha256 = "{SHA}"\n{ONE}token_sha256 = "{SHA}"',
            4,
            "user.token_sha256",
            "the same as in",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    folder: Path, text: str, line: int, key: str, message: str
) -> None:
    found = [one for one in problems(folder, text) if one.key == key]
    assert found, problems(folder, text)
    assert (found[0].line, found[0].file) == (line, str(folder / "centre.toml"))
    assert message in found[0].message
    with pytest.raises(ConfigError):
        load_server_settings(folder / "centre.toml")


@pytest.mark.parametrize("more", ["insecure_http = true", 'tls_certificate = "c"\ntls_key = "k"'])
def test_an_open_address_may_be_allowed(folder: Path, more: str) -> None:
    assert problems(folder, f'{HEAD}[server]\naddress = "0.0.0.0"\n{more}') == ()


def test_a_password_in_a_database_address_is_in_no_message(folder: Path) -> None:
    text = f'{HEAD}[server]\ndatabase = "postgres://nullbay:hunter2@x/y"\n'
    told = " ".join(one.told() for one in problems(folder, text))
    assert "server.database" in told
    assert "hunter2" not in told


def test_files_of_a_folder_add_up(folder: Path) -> None:
    put(folder, f"{HEAD}[server]\nport = 1\n", "a.toml")
    put(folder, f'{HEAD}[server]\nport = 2\n[[user]]\nid = "a"\n', "b.toml")
    put(folder, f"{HEAD}{ONE}", "c.toml")
    examined = examine_server_settings(folder)
    assert examined.problems == ()
    assert examined.settings.port == 2
    assert [one.station for one in examined.settings.stations] == ["bench-1"]
    assert [note.key for note in examined.notes] == ["server.port"]


def test_a_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_server_settings(tmp_path / "nowhere")


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    from nullbay.config.server_settings_tables import ServerSettingsTable  # noqa: PLC0415
    from nullbay.config.source import parse_source  # noqa: PLC0415
    from nullbay.config.tables import validated  # noqa: PLC0415

    raw = (HEAD + text).encode("utf-8", "surrogatepass")
    told: tuple[Problem, ...] | None = None
    try:
        validated(parse_source("x", raw), ServerSettingsTable)
    except ConfigError as error:
        told = error.problems
    assert told is None or told


def test_the_page_is_the_generated_one() -> None:
    page = (TOP / "docs" / "server-settings.md").read_text()
    assert page == server_markdown.server_settings_markdown()
    for name in server_setting_names():
        assert f"`{name}`" in page


def test_the_pages_example_is_taken(folder: Path) -> None:
    (folder / "stations").mkdir()
    (folder / "tls").mkdir()
    for name, data in {
        "stations/bench-1.station.pem": STATION.public_key_pem,
        "stations/bench-1.bench.pem": BENCH.public_key_pem,
        "stations/bench-1.token": TOKEN.encode(),
        "stations/bench-1.poll-token": b"q" * 32,
    }.items():
        (folder / name).write_bytes(data)
    read = load_server_settings(put(folder, server_markdown.EXAMPLE_SERVER_SETTINGS))
    assert [one.station for one in read.stations] == ["bench-1"]
