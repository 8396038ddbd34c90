"""The parts of the Debian package that need no build to be looked at."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.tree import TOP

FOLDER = TOP / "debian"
SCRIPTS = ("postinst", "prerm", "postrm")


def test_the_package_runs_with_the_locked_packages_and_without_the_tools() -> None:
    done = subprocess.run(
        [sys.executable, "-I", FOLDER / "runtime_lock.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    entries = re.split(r"\n(?=\S)", done.stdout.strip())
    names = {entry.partition("==")[0] for entry in entries}
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[>=<]", line)[0].lower() for line in project["dependencies"]}
    tools = {re.split(r"[\[>=<]", line)[0] for line in project["optional-dependencies"]["dev"]}
    assert wanted <= names
    # brought along by those: what aiohttp, pydantic, psycopg cannot do without
    assert {"yarl", "pydantic-core", "psycopg-binary", "cffi"} <= names
    assert not names & tools
    lock = (TOP / "requirements.lock").read_text()
    for entry in entries:
        lines = entry.splitlines()
        assert lines[0].removesuffix("\\").strip() in lock
        assert len(lines) > 1, f"{lines[0]} has no hash"
        assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", one) for one in lines[1:])
        assert not lines[-1].endswith("\\")


def with_services(script: str) -> str:
    """A maintainer script as it is built."""
    text = (FOLDER / script).read_text()
    return text.replace("#SERVICES#", (FOLDER / "services.sh").read_text())


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_maintainer_script_is_plain_shell_and_refuses_what_it_does_not_know(
    script: str, tmp_path: Path
) -> None:
    file = tmp_path / script
    # debconf's part would begin a conversation with nobody
    file.write_text(with_services(script).replace(". /usr/share/debconf/confmodule", ":"))
    subprocess.run(["sh", "-n", file], check=True)
    done = subprocess.run(["sh", file, "melt"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown argument: melt" in done.stderr


def test_a_failed_stop_of_the_old_version_ends_the_upgrade(tmp_path: Path) -> None:
    """dpkg asks the new prerm whether to go on; its yes would replace a program at work."""
    file = tmp_path / "prerm"
    file.write_text(with_services("prerm"))
    done = subprocess.run(["sh", file, "failed-upgrade", "0.0.9"], check=False)
    assert done.returncode == 1


def test_evidence_is_kept_unless_somebody_says_otherwise() -> None:
    template = (FOLDER / "templates").read_text()
    assert "\nType: boolean\nDefault: false\n" in template
    assert "db_input high nullbay/delete-evidence" in (FOLDER / "postrm").read_text()


def test_the_build_explains_itself_when_it_is_asked_wrongly() -> None:
    subprocess.run(["bash", "-n", FOLDER / "build-deb"], check=True)
    done = subprocess.run(
        [FOLDER / "build-deb", "--no-such", "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "unknown option --no-such" in done.stderr
