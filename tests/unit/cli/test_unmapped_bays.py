"""wiperd asks the same question as the station: is a bay still where it was learned?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nullbay.cli.daemons import _bay_of
from nullbay.config.settings import Settings
from nullbay.domain.clock import SystemClock
from nullbay.domain.drive import Bay
from nullbay.domain.errors import MalformedError
from nullbay.domain.ids import BayId
from nullbay.wipers.platform.bayprint import FILE_NAME, Bayprint, written_bayprints
from nullbay.wipers.platform.topology import Anchor, Slot
from support.drives import drive

HERE = "/sys/devices/virtual/block/loop77"
SETTINGS = Settings(bays=(Bay(BayId("A1"), 1, 1, HERE),))
DRIVE = drive()
DRIVE = replace(DRIVE, attachment=replace(DRIVE.attachment, device_path=HERE))


def learned(folder: Path, found: str) -> None:
    anchor = Anchor("/sys/devices/virtual", found)
    one = Bayprint(BayId("A1"), HERE, Slot("", "", "", "", ""), (anchor,), SystemClock().now())
    (folder / FILE_NAME).write_bytes(written_bayprints([one]))


def test_a_bay_written_by_hand_stands_for_itself(tmp_path: Path) -> None:
    assert _bay_of(DRIVE, SETTINGS, tmp_path) == "A1"


def test_a_bay_whose_machine_changed_is_none(tmp_path: Path) -> None:
    learned(tmp_path, "an adapter that is not here")
    assert _bay_of(DRIVE, SETTINGS, tmp_path) is None


def test_a_print_that_cannot_be_read_makes_no_bay(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"{")
    with pytest.raises(MalformedError):
        _bay_of(DRIVE, SETTINGS, tmp_path)
