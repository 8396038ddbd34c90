"""What a root daemon takes for its configuration: nothing that somebody else may write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nullbay.cli.daemons import UntrustedConfigurationError, require_trusted

STRANGER = 65533


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "etc"
    made.mkdir(mode=0o755)
    (made / "a.toml").write_text("")
    (made / "a.toml").chmod(0o644)
    return made


def test_what_is_ours_alone_is_trusted_and_what_is_missing_is_no_danger(folder: Path) -> None:
    require_trusted(folder)
    require_trusted(folder / "a.toml")
    require_trusted(folder / "missing.toml")


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_file_that_others_may_write_is_not(folder: Path, mode: int) -> None:
    (folder / "a.toml").chmod(mode)
    for path in (folder, folder / "a.toml"):
        with pytest.raises(UntrustedConfigurationError, match=r"a\.toml can be written by others"):
            require_trusted(path)


def test_nor_a_folder_above_it(folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(UntrustedConfigurationError, match="etc can be written by others"):
        require_trusted(folder / "a.toml")


def test_nor_what_a_link_leads_to(folder: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text("")
    real.chmod(0o666)
    (folder / "b.toml").symlink_to(real)
    for path in (folder, folder / "b.toml"):
        with pytest.raises(UntrustedConfigurationError, match=r"real\.toml can be written"):
            require_trusted(path)


def test_nor_where_a_linked_file_stands(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    (elsewhere / "real.toml").write_text("")
    (folder / "b.toml").symlink_to(elsewhere / "real.toml")
    with pytest.raises(UntrustedConfigurationError, match="elsewhere can be written"):
        require_trusted(folder)


def test_nor_a_link_on_the_way_that_others_may_turn(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    (elsewhere / "turned").symlink_to(folder / "a.toml")
    (folder / "b.toml").symlink_to(elsewhere / "turned")
    with pytest.raises(UntrustedConfigurationError, match="elsewhere can be written"):
        require_trusted(folder / "b.toml")


def test_nor_links_in_circles(folder: Path) -> None:
    (folder / "b.toml").symlink_to("../etc/b.toml")
    with pytest.raises(UntrustedConfigurationError, match="in circles"):
        require_trusted(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_nor_what_belongs_to_somebody_else(folder: Path) -> None:
    os.chown(folder / "a.toml", STRANGER, -1)
    with pytest.raises(UntrustedConfigurationError, match=r"is not root's"):
        require_trusted(folder)
