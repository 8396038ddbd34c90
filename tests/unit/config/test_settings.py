from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from nullbay.config import settings
from nullbay.config.problems import ConfigError, Problem, UnknownLotError
from nullbay.config.settings import (
    AdmissionSettings,
    BayRule,
    CentreSettings,
    FileName,
    HttpSettings,
    Operator,
    RecordsSettings,
    Role,
    Settings,
    StationRules,
    examine_settings,
    load,
    setting_names,
)
from nullbay.domain.drive import Bay
from nullbay.domain.ids import BayId, LotRef
from nullbay.domain.lot import DataCategory, Destination, Lot, Person

TOKEN = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
PIN = f"scrypt:32768:8:1:{'ab' * 16}:{'cd' * 32}"
HEAD = 'schema = "nullbay.config/1"\n'
PORT = "/sys/devices/pci0000:00/0000:00:17.0/ata1"
BAY = f'[[bay]]\nid = "A1"\nrow = 1\ncolumn = 2\nmatch = "{PORT}/*"\n'

EVERYTHING = f"""\
{HEAD}
[organization]
name = "Example Recycling"

[station]
name = "bench-1"
site = "Halle 3, Köln"
unattended = true
countdown_s = 20
settle_s = 4
idle_lock_s = 60

{BAY}unattended = true
policy = "nist-purge"

[[bay]]
id = "lab"
row = 1
column = 3
match = "nqn.2014-08.org.nvmexpress:uuid:1"

[[lot]]
reference = "L-1"
customer = "Bank"
site = "Bonn"
source = "van"
work_order = "77"
data_category = "moderate"
destination = "leaving"

[[lot]]
reference = "L-2"

[[operator]]
id = "ada"
name = "Ada Example"
title = "Technician"
role = "verifier"
token_sha256 = "{TOKEN}"
pin_scrypt = "{PIN}"
qualified_until = 2027-03-31

[[operator]]
id = "bob"
name = "Bob"

[policies]
directory = "own"
default = "nist-clear"

[http]
address = "0.0.0.0"
port = 443
hosts = ["bench-1", "bench-1.example.org", "192.0.2.7"]
tls_certificate = "tls.pem"
tls_key = "/etc/ssl/private/tls.key"
insecure_http = false
status_token_sha256 = "{OTHER}"

[centre]
url = "https://centre.example.org:8443/"
token_file = "centre.token"
public_key_file = "centre.pub"
heartbeat_s = 60

[admission]
jobs_max = 12
bytes_per_s_total = 13000000000
bytes_per_s_per_hba = 6000000000
memory_available_min_bytes = 1000000
load_per_cpu_max = 2.5
retries = 2

[records]
reserve_bytes_per_job = 10000000
"""


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refused(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as error:
        load(path)
    return error.value.problems


def test_every_key_arrives_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    assert load(put(tmp_path / "station.toml", EVERYTHING)) == Settings(
        organization="Example Recycling",
        station="bench-1",
        site="Halle 3, Köln",
        bays=(
            Bay(BayId("A1"), 1, 2, f"{PORT}/*"),
            Bay(BayId("lab"), 1, 3, "nqn.2014-08.org.nvmexpress:uuid:1"),
        ),
        lots=(
            Lot(
                LotRef("L-1"),
                "Bank",
                "Bonn",
                "van",
                "77",
                DataCategory.MODERATE,
                Destination.LEAVING,
            ),
            Lot(LotRef("L-2")),
        ),
        operators=(
            Operator(
                "ada",
                "Ada Example",
                "Technician",
                Role.VERIFIER,
                TOKEN,
                PIN,
                date(2027, 3, 31),
            ),
            Operator("bob", "Bob", "", Role.OPERATOR, None),
        ),
        policies_directory=tmp_path / "own",
        default_policy="nist-clear",
        rules=StationRules(unattended=True, countdown_s=20, settle_s=4, idle_lock_s=60),
        bay_rules=(
            BayRule(BayId("A1"), unattended=True, policy="nist-purge"),
            BayRule(BayId("lab")),
        ),
        http=HttpSettings(
            "0.0.0.0",  # noqa: S104 - a text of the configuration
            443,
            ("bench-1", "bench-1.example.org", "192.0.2.7"),
            FileName("tls.pem", tmp_path),
            FileName("/etc/ssl/private/tls.key", tmp_path),
            insecure_http=False,
            status_token_sha256=OTHER,
        ),
        centre=CentreSettings(
            "https://centre.example.org:8443",
            FileName("centre.token", tmp_path),
            FileName("centre.pub", tmp_path),
            60,
        ),
        admission=AdmissionSettings(
            12, 13_000_000_000, 6_000_000_000, 1_000_000, Decimal("2.5"), 2
        ),
        records=RecordsSettings(10_000_000),
    )


def test_setting_names_are_those_of_the_files() -> None:
    names = setting_names()
    assert len(names) == len(set(names))
    assert set(names) == {
        "schema",
        "organization.name",
        *(f"station.{key}" for key in ("name", "site", "unattended", "countdown_s")),
        *(f"station.{key}" for key in ("settle_s", "idle_lock_s")),
        *(f"bay.{key}" for key in ("id", "row", "column", "match", "unattended", "policy")),
        *(f"lot.{key}" for key in ("reference", "customer", "site", "source", "work_order")),
        *(f"lot.{key}" for key in ("data_category", "destination")),
        *(f"operator.{key}" for key in ("id", "name", "title", "role", "token_sha256")),
        *(f"operator.{key}" for key in ("pin_scrypt", "qualified_until")),
        *(f"http.{key}" for key in ("address", "port", "hosts", "tls_certificate", "tls_key")),
        *(f"http.{key}" for key in ("insecure_http", "status_token_sha256")),
        *(f"centre.{key}" for key in ("url", "token_file", "public_key_file", "heartbeat_s")),
        *(f"admission.{key}" for key in ("jobs_max", "bytes_per_s_total", "bytes_per_s_per_hba")),
        *(f"admission.{key}" for key in ("memory_available_min_bytes", "load_per_cpu_max")),
        "admission.retries",
        "records.reserve_bytes_per_job",
        *(f"policies.{key}" for key in ("directory", "default")),
    }


def test_a_person_is_named_by_id_and_role() -> None:
    operator = Operator("ada", "Ada Example", "Technician", Role.VERIFIER, TOKEN)
    assert operator.person() == Person("verifier", "ada", "Technician")


def test_a_lot_is_found_by_its_reference_or_the_known_ones_are_told() -> None:
    known = Settings(lots=(Lot(LotRef("L-1")), Lot(LotRef("L-2"), "Bank")))
    assert known.lot("L-2").customer == "Bank"
    with pytest.raises(UnknownLotError, match='"L-3"; right would be: L-1, L-2') as error:
        known.lot("L-3")
    assert error.value.code == "lot.unknown"


# --- which files ---------------------------------------------------------------------------------


def test_the_default_path_may_be_missing_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "missing"
    monkeypatch.setattr(settings, "DEFAULT_PATH", missing)
    assert load() == load(missing) == Settings()
    (problem,) = refused(tmp_path / "other")
    assert problem == Problem(
        str(tmp_path / "other"), 0, "", "does not exist", "a file or directory that exists"
    )
    put(missing / "a.toml", HEAD + '[station]\nname = "x"\n')
    assert load().station == "x"


def test_the_default_path_is_where_debian_administrators_look() -> None:
    assert Path("/etc/nullbay") == settings.DEFAULT_PATH


def test_an_empty_folder_is_all_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings()


def test_files_of_a_folder_add_up_in_name_order_and_the_last_word_counts(tmp_path: Path) -> None:
    put(tmp_path / "20.toml", HEAD + '[[lot]]\nreference = "second"\n[station]\nname = "later"\n')
    put(tmp_path / "10.toml", EVERYTHING.replace('directory = "own"\n', ""))
    put(tmp_path / "30.toml", HEAD + '[station]\nsite = "Halle 3, Köln"\n')
    put(tmp_path / "sub" / "99.toml", "not even read")
    found = examine_settings(tmp_path)
    assert not found.problems
    assert found.settings.station == "later"
    assert found.settings.site == "Halle 3, Köln"
    assert [lot.reference for lot in found.settings.lots] == ["L-1", "L-2", "second"]
    (note,) = found.notes
    assert (note.file, note.line, note.key) == (str(tmp_path / "20.toml"), 5, "station.name")
    assert str(tmp_path / "10.toml") in note.message
    assert note.told().startswith(f"{tmp_path}/20.toml:5: `station.name` overrides")


def test_policies_beside_the_files_are_taken_unless_a_folder_is_named(tmp_path: Path) -> None:
    put(tmp_path / "a.toml", HEAD)
    assert load(tmp_path).policies_directory is None
    (tmp_path / "policies").mkdir()
    assert load(tmp_path).policies_directory == tmp_path / "policies"
    assert load(tmp_path / "a.toml").policies_directory is None
    (tmp_path / "own").mkdir()
    put(tmp_path / "b.toml", HEAD + f'[policies]\ndirectory = "{tmp_path}/own"\n')
    assert load(tmp_path).policies_directory == tmp_path / "own"


def test_a_policy_folder_that_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    put(tmp_path / "a.toml", HEAD + '[policies]\n\ndirectory = "no\\u0000where"\n')
    (problem,) = refused(tmp_path)
    assert (problem.line, problem.key) == (4, "policies.directory")
    assert "no folder" in problem.message


# --- problems ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "key", "message", "right"),
    [
        ("[station]\nnam = 'x'", 3, "station.nam", "not a known key", "station.name"),
        ("[stations]\nname = 'x'", 2, "stations", "not a known key", "station"),
        ("name = 'x'", 2, "name", "not a known key", "organization.name, station.name"),
        ("unattended = true", 2, "unattended", "not a known key", "station.unattended"),
        ("[[station]]\nname = 'x'", 2, "station", "is a list", "a table with: name, site"),
        ("[bay]\nid = 'A1'", 2, "bay", "is a table", "a table with: id, row"),
        ("[station]\nname = 3", 3, "station.name", "whole number", "a text of at most"),
        ("[station]\nname = 'a\\tb'\n\nsite = \"\\t\"", 5, "station.site", "control", "one line"),
        ("[policies]\ndefault = ''", 3, "policies.default", "too short", "a known policy"),
        ("[policies]\ndirectory = ''", 3, "policies.directory", "too short", "folder"),
        ("[[lot]]\ncustomer = 'x'", 2, "lot.reference", "is missing", "a text of 1"),
        ("[[lot]]\nreference = ''", 3, "lot.reference", "too short", "a text of 1"),
        (
            "[[lot]]\nreference = 'x'\ndata_category = 'medium'",
            4,
            "lot.data_category",
            '"medium", which is not known',
            '"moderate"',
        ),
        (
            "[[lot]]\nreference = 'x'\ndestination = 'leavin'",
            4,
            "lot.destination",
            '"leavin", which is not known',
            '"leaving"',
        ),
        ("[[operator]]\nid = 'a'", 2, "operator.name", "is missing", "a text of 1"),
        ("[[operator]]\nid = 'a b'\nname = 'A'", 3, "operator.id", "right form", "letters"),
        (
            "[[operator]]\nid = 'a'\nname = 'A'\nrole = 'boss'",
            5,
            "operator.role",
            '"boss", which is not known',
            '"custodian"',
        ),
        (
            "[[operator]]\nid = 'a'\nname = 'A'\ntoken_sha256 = 'hunter2'",
            5,
            "operator.token_sha256",
            "right form",
            "64 lower-case hex",
        ),
    ],
)
def test_a_wrong_key_is_told_with_line_and_what_would_be_right(
    tmp_path: Path, text: str, line: int, key: str, message: str, right: str
) -> None:
    path = put(tmp_path / "a.toml", HEAD + text + "\n")
    (problem,) = refused(path)
    assert (problem.file, problem.line, problem.key) == (str(path), line, key)
    assert message in problem.message
    assert right in problem.right


def test_a_token_given_in_place_of_its_digest_is_not_repeated(tmp_path: Path) -> None:
    text = "[[operator]]\nid = 'a'\nname = 'A'\ntoken_sha256 = 'hunter2'\n"
    with pytest.raises(ConfigError) as error:
        load(put(tmp_path / "a.toml", HEAD + text))
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ("/dev/sda", "no canonical sysfs path"),
        ("/sys/class/block/sda", "no canonical sysfs path"),
        ("/sys/block/*", "no canonical sysfs path"),
        ("ata1/*", "neither a path nor"),
        ("*", "neither a path nor"),
        ("/*", "wildcard where"),
        ("/sys/devices/*", "so wide"),
        ("/sys/devices/pci0000:00/*", "so wide"),
        ("/sys/devices/pci*/0000:00:17.0/ata1/*", "so wide"),
        ("/sys/devices/pci0000:00/0000:00:1[78].0/ata1/*", "so wide"),
        ("/sys/devices/virtual/block/loop?", "wildcard where"),
        ("/sys/devices/virtual/nvme-fabrics/ctl/*", "wildcard where"),
        ("nqn.2014-08.org.nvmexpress:*", "wildcard where"),
        ("", "too short"),
    ],
)
def test_a_bay_that_could_hold_another_drive_is_refused(
    tmp_path: Path, match: str, message: str
) -> None:
    text = HEAD + BAY.replace(f"{PORT}/*", match)
    (problem,) = refused(put(tmp_path / "a.toml", text))
    assert (problem.line, problem.key) == (6, "bay.match")
    assert message in problem.message


@pytest.mark.parametrize(
    "match",
    [
        f"{PORT}/*",
        "/sys/devices/pci0000:00/0000:00:1f.2/host[0-9]/target*/*",
        "/sys/devices/platform/soc/1a.sata/ata?/*",
        "/sys/devices/virtual/block/loop7",
        "nqn.2014-08.org.nvmexpress:uuid:1",
    ],
)
def test_a_bay_that_names_its_place_is_taken(tmp_path: Path, match: str) -> None:
    text = HEAD + BAY.replace(f"{PORT}/*", match)
    assert load(put(tmp_path / "a.toml", text)).bays[0].match == match


@pytest.mark.parametrize(
    ("more", "key", "line"),
    [
        (BAY.replace("column = 2", "column = 9").replace("ata1", "ata2"), "bay.id", 3),
        (BAY.replace("A1", "A2").replace("ata1", "ata2"), "bay.column", 5),
        (BAY.replace("A1", "A2").replace("column = 2", "column = 9"), "bay.match", 6),
        ('[[lot]]\nreference = "L-1"\n', "lot.reference", 3),
        ('[[operator]]\nid = "ada"\nname = "Another"\n', "operator.id", 3),
        (
            f'[[operator]]\nid = "eve"\nname = "Eve"\ntoken_sha256 = "{TOKEN}"\n',
            "operator.token_sha256",
            5,
        ),
    ],
)
def test_what_has_to_be_alone_is_alone_across_files(
    tmp_path: Path, more: str, key: str, line: int
) -> None:
    put(tmp_path / "10.toml", EVERYTHING.replace('directory = "own"\n', ""))
    path = put(tmp_path / "20.toml", HEAD + more)
    (problem,) = refused(tmp_path)
    assert (problem.file, problem.line, problem.key) == (str(path), line, key)
    assert f"{tmp_path}/10.toml:" in problem.message


def test_problems_of_all_files_are_told(tmp_path: Path) -> None:
    put(tmp_path / "1.toml", HEAD + "[station]\nname = 1\nsit = 2\n")
    put(tmp_path / "2.toml", "schema = 'nullbay.config/9'\nwhatever = 1\n")
    put(tmp_path / "3.toml", HEAD + "[station\n")
    put(tmp_path / "4.toml", "[station]\n")
    put(tmp_path / "5.toml", HEAD + BAY)
    found = [(Path(one.file).name, one.line, one.key) for one in refused(tmp_path)]
    assert found == [
        ("1.toml", 3, "station.name"),
        ("1.toml", 4, "station.sit"),
        ("2.toml", 1, "schema"),
        ("3.toml", 2, ""),
        ("4.toml", 1, "schema"),
    ]
    assert [bay.bay_id for bay in examine_settings(tmp_path).settings.bays] == ["A1"]
