"""How a station runs its bays, HTTP, centre, admission, records, roles: defaults and refusals."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from nullbay.config.check import check, examine
from nullbay.config.problems import ConfigError, Problem
from nullbay.config.roles import Act, Role
from nullbay.config.settings import BayRule, FileName, Operator, Settings, load
from nullbay.domain.ids import BayId

HEAD = 'schema = "nullbay.config/1"\n'
TOKEN = "0123456789abcdef" * 4
HEX16, HEX32 = "ab" * 16, "cd" * 32
BAY = (
    '[[bay]]\nid = "{0}"\nrow = 1\ncolumn = {1}\n'
    'match = "/sys/devices/pci0000:00/0000:00:17.0/ata{1}/*"\n'
)
PERSON = "[[operator]]\nid = 'a'\nname = 'A'\n"
CENTRE = "[centre]\nurl = 'https://c.example'\ntoken_file = 't'\npublic_key_file = 'p'\n"


def put(path: Path, text: str) -> Path:
    path.write_text(HEAD + text)
    return path


def refused(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as error:
        load(path)
    return error.value.problems


def test_as_shipped_nothing_starts_by_itself_and_nobody_outside_can_ask(tmp_path: Path) -> None:
    shipped = load(tmp_path)
    assert shipped == Settings()
    assert shipped.bays == ()
    assert not shipped.rules.unattended
    assert (shipped.http.address, shipped.http.port) == ("127.0.0.1", 8420)
    assert not shipped.http.is_exposed
    assert shipped.centre is None
    assert not BayRule(BayId("any")).unattended


def test_a_bay_runs_unattended_only_if_station_and_bay_say_so(tmp_path: Path) -> None:
    bays = BAY.format("A1", 1) + "unattended = true\npolicy = 'nist-purge'\n" + BAY.format("A2", 2)
    default = "[policies]\ndefault = 'nist-clear'\n"
    asked = load(put(tmp_path / "a.toml", bays + default + "[station]\nunattended = true\n"))
    assert (asked.runs_unattended("A1"), asked.runs_unattended("A2")) == (True, False)
    assert not asked.runs_unattended("B7")
    assert [asked.policy_of(bay) for bay in ("A1", "A2")] == ["nist-purge", "nist-clear"]
    off = load(put(tmp_path / "a.toml", bays + default))
    assert not off.runs_unattended("A1")
    assert Settings().policy_of("A1") is None


def test_an_unattended_bay_without_a_policy_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.toml", BAY.format("A1", 1) + "unattended = true\n")
    (problem,) = refused(path)
    assert (problem.line, problem.key) == (7, "bay.unattended")
    assert "policies.default" in problem.right
    # across files, as everything else
    put(tmp_path / "b.toml", "[policies]\ndefault = 'nist-clear'\n")
    assert load(tmp_path).bay_rule("A1").unattended


def test_the_policy_of_a_bay_has_to_exist(tmp_path: Path) -> None:
    path = put(tmp_path / "a.toml", BAY.format("A1", 1) + "policy = 'nist-claer'\n")
    (problem,) = check(path)
    assert (problem.file, problem.line, problem.key) == (str(path), 7, "bay.policy")
    assert "nist-clear/1" in problem.right


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("[station]\nunattended = 'yes'", 3, "station.unattended", "is a text"),
        ("[station]\ncountdown_s = 4", 3, "station.countdown_s", "out of range"),
        ("[station]\nsettle_s = 0", 3, "station.settle_s", "out of range"),
        ("[station]\nidle_lock_s = 5", 3, "station.idle_lock_s", "out of range"),
        ("[http]\nport = 65536", 3, "http.port", "out of range"),
        ("[http]\nport = true", 3, "http.port", "true or false"),
        ("[http]\naddress = 'bench-1'", 3, "http.address", "no IP address"),
        ("[http]\nhosts = ['a', 'B']", 3, "http.hosts", "lower case without a port"),
        ("[http]\nhosts = ['a:80']", 3, "http.hosts", "lower case without a port"),
        ("[http]\nhosts = ['*.example.org']", 3, "http.hosts", "lower case"),
        ("[http]\nhosts = 'a'", 3, "http.hosts", "not what belongs here"),
        ("[http]\ntls_key = 'k'", 3, "http.tls_key", "without `http.tls_certificate`"),
        ("[http]\ntls_certificate = 'c'", 3, "http.tls_certificate", "without `http.tls_key`"),
        ("[http]\ntls_key = ''", 3, "http.tls_key", "too short"),
        ("[http]\nstatus_token_sha256 = 'x'", 3, "http.status_token_sha256", "right form"),
        ("[centre]\nurl = 'https://c.example'", 3, "centre.url", "without `centre.token_file`"),
        ("[centre]\nheartbeat_s = 60", 3, "centre.heartbeat_s", "without `centre.url`"),
        (CENTRE.replace("https", "http"), 3, "centre.url", "unencrypted"),
        (CENTRE.replace("https", "ftp"), 3, "centre.url", "no address of a web server"),
        (CENTRE.replace("c.example", "u:p@c.example"), 3, "centre.url", "more than scheme"),
        (CENTRE.replace("c.example", "c.example/path"), 3, "centre.url", "more than scheme"),
        (CENTRE.replace("c.example", "c.example:port"), 3, "centre.url", "no address"),
        ("[admission]\njobs_max = -1", 3, "admission.jobs_max", "out of range"),
        ("[admission]\nload_per_cpu_max = 0", 3, "admission.load_per_cpu_max", "out of range"),
        ("[admission]\nload_per_cpu_max = nan", 3, "admission.load_per_cpu_max", "not what"),
        ("[admission]\nretries = 11", 3, "admission.retries", "out of range"),
        ("[records]\nreserve_bytes_per_job = 5", 3, "records.reserve_bytes_per_job", "range"),
        (PERSON + "qualified_until = '2027-03-31'", 5, "operator.qualified_until", "a text"),
        (PERSON + "qualified_until = 2027-03-31T00:00:00Z", 5, "operator.qualified_until", "date"),
        (PERSON + "pin_scrypt = '1234'", 5, "operator.pin_scrypt", "right form"),
        (
            PERSON + f"pin_scrypt = 'scrypt:32768:8:1:{HEX16}:{HEX32}'",
            5,
            "operator.pin_scrypt",
            "without `operator.token_sha256`",
        ),
        (
            PERSON + f"pin_scrypt = 'scrypt:30000:8:1:{HEX16}:{HEX32}'",
            5,
            "operator.pin_scrypt",
            "no power of two",
        ),
        (
            PERSON + f"pin_scrypt = 'scrypt:524288:8:1:{HEX16}:{HEX32}'",
            5,
            "operator.pin_scrypt",
            "no power of two from",
        ),
        (
            PERSON + f"pin_scrypt = 'scrypt:131072:16:1:{HEX16}:{HEX32}'",
            5,
            "operator.pin_scrypt",
            "bytes of memory",
        ),
        (
            PERSON + f"pin_scrypt = 'scrypt:32768:8:9:{HEX16}:{HEX32}'",
            5,
            "operator.pin_scrypt",
            "needs more than",
        ),
    ],
)
def test_a_wrong_key_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, key: str, message: str
) -> None:
    path = put(tmp_path / "a.toml", text + "\n")
    (problem,) = refused(path)
    assert (problem.file, problem.line, problem.key) == (str(path), line, key)
    assert message in problem.message
    assert problem.right


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7", "fe80::1"])  # noqa: S104
def test_other_machines_are_served_over_tls_or_somebody_said_not(
    tmp_path: Path, address: str
) -> None:
    http = f"[http]\naddress = '{address}'\n"
    (problem,) = refused(put(tmp_path / "a.toml", http))
    assert (problem.line, problem.key) == (3, "http.address")
    assert "insecure_http" in problem.right
    tls = load(put(tmp_path / "a.toml", http + "tls_certificate = 'c'\ntls_key = 'k'\n"))
    assert tls.http.uses_tls
    assert not tls.http.is_exposed
    path = put(tmp_path / "a.toml", http + "insecure_http = true\n")
    assert load(path).http.is_exposed
    (note,) = examine(path).notes
    assert (note.line, note.key) == (4, "http.insecure_http")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1"])
def test_this_machine_itself_needs_no_tls(tmp_path: Path, address: str) -> None:
    asked = load(put(tmp_path / "a.toml", f"[http]\naddress = '{address}'\n"))
    assert not asked.http.is_exposed


def test_what_belongs_together_may_stand_in_different_files(tmp_path: Path) -> None:
    put(tmp_path / "1.toml", "[http]\naddress = '192.0.2.7'\n")
    put(tmp_path / "2.toml", "[http]\ntls_certificate = 'c'\n")
    put(tmp_path / "3.toml", "[http]\ntls_key = 'k'\n")
    assert load(tmp_path).http.uses_tls
    put(tmp_path / "4.toml", "[http]\naddress = '127.0.0.1'\n")
    assert load(tmp_path).http.address == "127.0.0.1"


def test_plain_http_to_a_centre_on_this_machine_is_taken(tmp_path: Path) -> None:
    for host in ("localhost:8421", "127.0.0.1:8421", "[::1]:8421"):
        text = CENTRE.replace("https://c.example", f"http://{host}")
        centre = load(put(tmp_path / "a.toml", text)).centre
        assert centre is not None
        assert centre.url == f"http://{host}"


def test_unattended_without_unattended_bays_is_noted(tmp_path: Path) -> None:
    path = put(tmp_path / "a.toml", "[station]\nunattended = true\n")
    assert check(path) == ()
    (note,) = examine(path).notes
    assert (note.line, note.key) == (3, "station.unattended")


def test_the_status_token_is_nobody_s_badge(tmp_path: Path) -> None:
    text = PERSON + f"token_sha256 = '{TOKEN}'\n[http]\nstatus_token_sha256 = '{TOKEN}'\n"
    (problem,) = refused(put(tmp_path / "a.toml", text))
    assert (problem.line, problem.key) == (7, "http.status_token_sha256")
    assert TOKEN not in problem.told()


def test_files_are_looked_for_among_credentials_then_beside_the_configuration(
    tmp_path: Path,
) -> None:
    etc, handed = tmp_path / "etc", tmp_path / "credentials"
    etc.mkdir()
    handed.mkdir()
    centre = load(put(etc / "a.toml", CENTRE)).centre
    assert centre is not None
    environment = {"CREDENTIALS_DIRECTORY": str(handed)}
    assert centre.token_file.located({}) == etc / "t"
    assert centre.token_file.located(environment) == etc / "t"
    (handed / "t").write_text("secret")
    assert centre.token_file.located(environment) == handed / "t"
    absolute = FileName("/srv/key", etc)
    assert absolute.located(environment) == Path("/srv/key")


def test_a_load_limit_is_taken_as_written(tmp_path: Path) -> None:
    for text, value in (("4", Decimal(4)), ("2.5", Decimal("2.5"))):
        path = put(tmp_path / "a.toml", f"[admission]\nload_per_cpu_max = {text}\n")
        assert load(path).admission.load_per_cpu_max == value


def test_only_operator_and_validator_arm_and_concurrence_is_never_first() -> None:
    def having(act: Act) -> set[Role]:
        return {role for role in Role if Operator("a", "A", role=role).may(act)}

    assert having(Act.LOOK) == set(Role)
    assert having(Act.APPROVE) == {Role.OPERATOR, Role.VALIDATOR}
    assert having(Act.CONCUR) - having(Act.APPROVE) == {Role.CONCURRENCE}
    assert having(Act.VERIFY) & having(Act.APPROVE) == set()
    assert having(Act.VALIDATE) == {Role.VALIDATOR}


def test_a_person_is_found_by_id() -> None:
    known = Settings(operators=(Operator("a", "A"), Operator("b", "B")))
    assert known.operator("b") == Operator("b", "B")
    assert known.operator("c") is None
