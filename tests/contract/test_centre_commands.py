"""The commands that a record's page gives an auditor: typed as they stand, by openssl and jq."""

from __future__ import annotations

import re
import subprocess
from html import unescape
from pathlib import Path

import pytest

from support import centre_pages as pages
from support.web import run


def downloaded(folder: Path, kind: str) -> str:
    """A record's files under the names that the browser gives them; the commands of its page."""

    async def main() -> str:
        state = folder / "state"
        async with pages.empty(state) as shown, pages.open_pages(shown) as listener:
            station = shown.stations[pages.STATION]
            digest = await station.finishes(kind, "SERIAL-1")
            async with pages.logged_in(listener, "aude") as browser:
                for part in ("bundle", "evidence"):
                    answer = await browser.get(f"/v1/records/{digest}/{part}")
                    name = re.search('filename="([^"]+)"', answer.headers["Content-Disposition"])
                    assert name
                    (folder / name[1]).write_bytes(await answer.read())
                text = await (await browser.get(f"/records/{digest}")).text()
            (folder / "station.pub.pem").write_bytes(station.station.public_key.pem)
            found = re.search(r'<pre class="shell"[^>]*>(.*?)</pre>', text, re.DOTALL)
            assert found
            return unescape(found[1])

    return run(main)


def typed(commands: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", commands], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("kind", "verdict"), [("good", "SANITIZED"), ("absent", "INDETERMINATE")])
def test_an_honest_record_checks(tmp_path: Path, kind: str, verdict: str) -> None:
    done = typed(downloaded(tmp_path, kind), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Verified OK") == 2
    assert ".evidence.tar.zst: OK" in done.stdout
    assert done.stdout.splitlines()[-1] == verdict


@pytest.mark.parametrize("name", ["*.sigstore.json", "*.evidence.tar.zst", "station.pub.pem"])
def test_anything_changed_is_noticed(tmp_path: Path, name: str) -> None:
    commands = downloaded(tmp_path, "good")
    (path,) = tmp_path.glob(name)
    data = path.read_bytes()
    if name == "station.pub.pem":
        (tmp_path / "other").mkdir()
        downloaded(tmp_path / "other", "good")
        data = (tmp_path / "other" / name).read_bytes()
    elif name == "*.sigstore.json":
        at = data.index(b'"payload":"') + 2000
        data = data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :]
    else:
        data += b"x"
    path.write_bytes(data)
    assert typed(commands, tmp_path).returncode != 0
