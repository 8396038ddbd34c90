"""docs/lab.md: its examples do what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nullbay.lab.description import DriveDescription
from nullbay.lab.files import abandon

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "lab.md").read_text()


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_drive_with_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (description,) = examples("toml")
    Path("old.toml").write_text(description)
    exec(examples("python")[0], {})  # noqa: S102 - our own page
    abandon(tmp_path / "old.toml")
    serial, gone, left = capsys.readouterr().out.splitlines()
    assert serial == "LAB-0815"
    assert gone.startswith("gone ")
    assert left.startswith("(ByteRange(start=")


def test_the_day_in_virtual_time() -> None:
    exec(examples("python")[2], {})  # noqa: S102 - our own page


def test_every_key_of_a_description_is_explained() -> None:
    table = PAGE.partition("| Key | Meaning")[2].partition("\n\n")[0]
    named = set(re.findall(r"`\[*(\w+)\]*", table))
    missing = set(DriveDescription.__dataclass_fields__) - named
    assert not missing
