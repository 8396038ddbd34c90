"""Description files: strict, capped, and every error names file and key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.domain.errors import NullbayError, TooLargeError, UnknownSchemaError
from nullbay.domain.method import MediaKind, Transport
from nullbay.lab.description import (
    CacheSpec,
    DescriptionError,
    DriveDescription,
    EventKind,
    EventSpec,
    FlushKind,
    HealthSpec,
    LbaSpan,
    OtherDrive,
    SlowSpan,
    TemperatureSpec,
)
from nullbay.lab.description_file import read_description, write_description

HEAD = 'schema = "nullbay.lab-drive/1"\nmodel = "LAB"\nsectors = 1000\n'

FULL = """
schema = "nullbay.lab-drive/1"
name = "bay-a1"
model = "LAB DISK"
serial_hex = "1b5b33316d58ff"
wwn = "5000c500a1b2c3d4"
media = "flash"
transport = "nvme"
sectors = 2000003
logical_sector_bytes = 512
physical_sector_bytes = 4096
speed_mb_s = 150
error_delay_ms = 700
flush = "ignored"
seed = 7

[cache]
bytes = 8388608

[health]
reallocated_sectors = 5
reallocated_every_bytes = 1048576

[temperature]
idle_celsius = 31
most_celsius = 70

[[unreadable]]
first_lba = 10
last_lba = 12

[[slow]]
first_lba = 100
last_lba = 200
delay_ms = 300

[[event]]
what = "serial-changes"
after_written_bytes = 4096

[other]
model = "LAB DISK"
serial = "LAB-2"
"""


def described(folder: Path, text: str, name: str = "drive.toml") -> DriveDescription:
    path = folder / name
    path.write_text(text)
    return read_description(path)


def test_toml_with_everything_left_out_is_a_well_behaved_disk(tmp_path: Path) -> None:
    assert described(tmp_path, HEAD) == DriveDescription(sectors=1000, model="LAB")


def test_toml_with_everything(tmp_path: Path) -> None:
    assert described(tmp_path, FULL) == DriveDescription(
        sectors=2_000_003,
        name="bay-a1",
        model="LAB DISK",
        serial_hex=b"\x1b[31mX\xff",
        wwn="5000c500a1b2c3d4",
        media=MediaKind.FLASH,
        transport=Transport.NVME,
        logical_sector_bytes=512,
        physical_sector_bytes=4096,
        speed_mb_s=150,
        error_delay_ms=700,
        flush=FlushKind.IGNORED,
        seed=7,
        cache=CacheSpec(8_388_608),
        health=HealthSpec(reallocated_sectors=5, reallocated_every_bytes=1_048_576),
        temperature=TemperatureSpec(idle_celsius=31, most_celsius=70),
        unreadable=(LbaSpan(10, 12),),
        slow=(SlowSpan(100, 200, 300),),
        event=(EventSpec(EventKind.SERIAL_CHANGES, after_written_bytes=4096),),
        other=OtherDrive(model="LAB DISK", serial="LAB-2"),
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    one = described(tmp_path, FULL)
    write_description(tmp_path / "again.json", one)
    assert read_description(tmp_path / "again.json") == one


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "colour = 1\n", "unknown field 'colour'"),
        (HEAD.replace("sectors = 1000\n", ""), "missing field 'sectors'"),
        (HEAD.replace('model = "LAB"\n', ""), "missing field 'model'"),
        (HEAD + "speed_mb_s = 1.5\n", "speed_mb_s: expected an integer"),
        (HEAD + "speed_mb_s = -1\n", "speed_mb_s is 0 to"),
        (HEAD + 'serial = "a"\nserial_hex = "61"\n', "serial or serial_hex"),
        (HEAD + 'serial_hex = "xy"\n', "serial_hex: expected lower-case hex"),
        (HEAD + f'serial = "{"x" * 1025}"\n', "serial has at most 1024 bytes"),
        (HEAD + 'name = "../up"\n', "name is a lower-case letter"),
        (HEAD + 'media = "tape"\n', "media: expected one of: magnetic"),
        (HEAD + "logical_sector_bytes = 520\n", "logical_sector_bytes is 512 or 4096"),
        (HEAD + "physical_sector_bytes = 1000\n", "physical_sector_bytes is a power of two"),
        (HEAD.replace("1000", "999999999999"), "sectors is 0 to"),
        (HEAD + "[cache]\nbytes = 1\n", "cache: bytes is 65536 to"),
        (HEAD + "[cache]\nsize = 1\n", "cache: unknown field 'size'"),
        (HEAD + "[[unreadable]]\nfirst_lba = 9\nlast_lba = 8\n", "unreadable[0]: not a span"),
        (
            HEAD + "[[ignored_writes]]\nfirst_lba = 9\nlast_lba = 1000\n",
            "ignored_writes: LBA 1000 is beyond the end",
        ),
        (HEAD + "[[slow]]\nfirst_lba = 1\nlast_lba = 2\n", "slow[0]: missing field 'delay_ms'"),
        (HEAD + '[[event]]\nwhat = "gone"\n', "event[0]: exactly one of after_written_bytes"),
        (
            HEAD + '[[event]]\nwhat = "gone"\nafter_ms = 1\nafter_read_bytes = 1\n',
            "event[0]: exactly one of",
        ),
        (
            HEAD + '[[event]]\nwhat = "capacity-shrinks"\nafter_ms = 1\n',
            "event[0]: sectors goes with",
        ),
        (HEAD + '[[event]]\nwhat = "another-drive"\nafter_ms = 1\n', "need the table [other]"),
        (HEAD + "unreadable = 3\n", "unreadable: expected a list"),
        (HEAD + 'model = "twice"\n', "line 4"),
        ("no toml at all", "line 1"),
        (HEAD + "[temperature]\nidle_celsius = 50\nmost_celsius = 40\n", "temperature: most_cel"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        described(tmp_path, text)
    assert str(caught.value).startswith("drive.toml: ")
    assert told in str(caught.value)
    assert caught.value.code == "lab.description"
    assert caught.value.next_step


@pytest.mark.parametrize(
    "text", ['model = "LAB"', 'schema = "nullbay.lab-drive/2"', "schema = 1", "{}", "[]", "null"]
)
def test_another_schema_is_refused(tmp_path: Path, text: str) -> None:
    name = "drive.json" if text[0] in "{[n" else "drive.toml"
    with pytest.raises(UnknownSchemaError, match=r"nullbay\.lab-drive/1"):
        described(tmp_path, text, name)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError):
        described(tmp_path, HEAD + "#" * 300_000)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match="cannot be read"):
        read_description(tmp_path / "nowhere.toml")


def test_too_many_spans_are_refused(tmp_path: Path) -> None:
    span = "[[unwritable]]\nfirst_lba = 1\nlast_lba = 1\n"
    described(tmp_path, HEAD + span * 1024)
    with pytest.raises(DescriptionError, match="unwritable has at most 1024"):
        described(tmp_path, HEAD + span * 1025)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KEYS = sorted(DriveDescription.__dataclass_fields__)


@given(plain=st.dictionaries(st.sampled_from(KEYS) | st.text(), json_values))
def test_no_json_does_anything_but_describe_or_be_refused(
    tmp_path_factory: pytest.TempPathFactory, plain: dict[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps({"schema": "nullbay.lab-drive/1", "sectors": 9} | plain))
    told = "any.json: "
    try:
        read_description(path)
    except NullbayError as error:
        told = str(error)
    assert told.startswith("any.json: ")
