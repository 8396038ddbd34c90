from __future__ import annotations

import codecs
import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nullbay.agent.intake import manifest as module
from nullbay.agent.intake.manifest import LINES_MAX, Manifest, parse_manifest
from nullbay.domain.intake import ManifestRow

PLAIN = "Serial,Asset Tag,Model\nZ1X2Y3W4,INV-1,ST4000\nZ1X2Y3W5,INV-2,ST4000\n"
ROWS = (
    ManifestRow(2, "Z1X2Y3W4", "INV-1", "ST4000"),
    ManifestRow(3, "Z1X2Y3W5", "INV-2", "ST4000"),
)


def problems(data: str | bytes) -> list[tuple[int, str]]:
    raw = data.encode() if isinstance(data, str) else data
    found = parse_manifest(raw)
    assert found.problems
    assert found.rows == ()
    return [(one.line, one.text) for one in found.problems]


def warnings(text: str) -> list[tuple[int, str]]:
    found = parse_manifest(text.encode())
    assert not found.problems
    return [(one.line, one.text) for one in found.warnings]


def serials(text: str) -> list[str]:
    found = parse_manifest(text.encode())
    assert not found.problems, found.problems
    return [row.serial for row in found.rows]


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        codecs.BOM_UTF8 + PLAIN.encode(),
        codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.rstrip("\n").encode(),
        (PLAIN + "\n\n,,\n").encode(),
        PLAIN.replace("INV-1", '"INV-1"').encode(),
    ],
)
def test_encodings_line_ends_separators_and_quotes_a_spreadsheet_writes(data: bytes) -> None:
    found = parse_manifest(data, "lot 7.csv")
    assert found == Manifest("lot 7.csv", hashlib.sha256(data).hexdigest(), 2, ROWS, (), ()), (
        found.problems
    )


def test_a_first_line_may_name_the_separator() -> None:
    found = parse_manifest(("sep=;\n" + PLAIN.replace(",", ";")).encode())
    assert [(row.line, row.serial) for row in found.rows] == [(3, "Z1X2Y3W4"), (4, "Z1X2Y3W5")]


@pytest.mark.parametrize(
    "header",
    [
        "Serial Number",
        "SERIAL-NO.",
        "S/N",
        "serial_number",
        "Seriennummer",
        "Serien-Nr.",
        "Festplatten Seriennummer",
        "HDD Serial",
    ],
)
def test_a_serial_column_by_its_usual_names(header: str) -> None:
    assert serials(f"{header}\nZ1X2Y3W4\n") == ["Z1X2Y3W4"]


@pytest.mark.parametrize("header", ["Asset Tag", "asset-id", "Inventarnummer", "Inventar-Nr."])
def test_drives_may_be_expected_by_their_tag_alone(header: str) -> None:
    found = parse_manifest(f"{header};Modell\nINV-1;ST4000\n".encode())
    assert found.rows == (ManifestRow(2, "", "INV-1", "ST4000"),)


def test_a_tag_without_a_serial_is_told_and_taken() -> None:
    assert warnings("Serial,Tag\n,INV-1\n") == [
        (2, "has no serial: the drive is expected by its asset tag alone")
    ]


def test_columns_nobody_asked_for_are_told_and_left() -> None:
    assert warnings("Serial,Colour,\nZ1X2Y3W4,blue,\n") == [
        (1, 'these columns are not used: "Colour"')
    ]


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b"", 0, "is empty"),
        (b"\n\n", 0, "is empty"),
        (b"Serial\n", 0, "holds no drive"),
        (b"Name,Size\nx,1\n", 1, 'no column that means "serial"'),
        (b"Model\nST4000\n", 1, 'no column that means "serial"'),
        ("Seriennummer;Größe\nZ1;1\n".encode("cp1252"), 1, "is not UTF-8"),
        ("Serial;Ort\nZ1;Köln\n".encode("cp1252"), 2, "Save it as UTF-8"),
        (PLAIN.encode("utf-16-le"), 1, "UTF-16 without a byte order mark"),
        (codecs.BOM_UTF16_LE + b"a", 0, "damaged UTF-16"),
        (codecs.BOM_UTF32_LE + PLAIN.encode("utf-32-le"), 0, "UTF-32"),
        (b"Serial\nZ1\0\n", 2, "NUL"),
        (b"Serial,Tag\nZ1\n", 2, "has 1 cells where the first line has 2"),
        (b"Serial,Tag\nZ1,2,3\n", 2, "has 3 cells where"),
        (b"Serial,Tag\n , \n Z1,1\n,\nZ2, 1 \n", 5, 'the asset tag "1" stands in line 3'),
        (b'Serial\n"Z1\n', 2, "quotation mark"),
        (b'Serial\n"Z1"x\n', 2, "quotation mark"),
        (b"Serial,Serial No\nZ1,Z1\n", 1, "both mean serial"),
        (b"Serial,Tag;Asset\nZ1,2;3\n", 1, "cannot be told"),
        (b"sep=|\nSerial\n", 1, "names a separator"),
        (b"Serial\nZ1X2\nZ1X3\nz1 x2\n", 4, 'the serial "Z1X2" stands in line 2'),
        ("Serial\nZ1\u200bX2\n".encode(), 2, "cannot be seen"),
        ("Serial\nZ1\u202eX2\n".encode(), 2, "cannot be seen"),
        (b"Serial\nZ1\x1b[2J\n", 2, "cannot be seen"),
        ("Serial\nЗ1X2\n".encode(), 2, "no drive gives"),
        (b"Serial\n9.43E+11\n", 2, "digits are lost"),
        (b"Serial\n9,43E+11\n", 2, "has 2 cells"),
        (b"Serial\n943E+9\n", 2, "digits are lost"),
        (b"Serial\nZ1;Z2\n", 2, "several cells in one"),
        (b"Serial\n" + b"x" * 65 + b"\n", 2, "more than 64 characters"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(data: bytes, line: int, said: str) -> None:
    found = problems(data)
    assert found[0][0] == line, found
    assert said in found[0][1]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("Serial,Tag\nZ1X2,=1+1\n", 2, 'the asset tag "=1+1" begins like a formula'),
        ("Serial,Tag\nZ1X2,@SUM(A1)\n", 2, "begins like a formula"),
        ("Serial\n-Z1X2\n", 2, "begins like a formula"),
        ("Serial\n+491234\n", 2, "begins like a formula"),
        ("Serial\n1E10\n", 2, "looks like a number"),
        ("Serial\n0123456\n0123457\n1234567\n23458\n", 5, "lost leading zeros"),
    ],
)
def test_what_is_suspicious_is_told_and_kept_as_text(text: str, line: int, said: str) -> None:
    found = warnings(text)
    assert [one[0] for one in found] == [line]
    assert said in found[0][1]
    assert text.splitlines()[line - 1].split(",")[0] in serials(text)


def test_serials_of_letters_and_digits_lose_no_zeros() -> None:
    assert warnings("Serial\nZ1X2Y3W4\nZ1X2Y3W5\nZ1X2Y3W6\nZ1X2Y3\n") == []


def test_a_line_without_end_is_refused_and_not_looked_into() -> None:
    (only,) = problems(b"Serial\n" + b"x" * (module.BYTES_MAX - 100))
    assert only[0] == 2
    assert "at most 4096 are read" in only[1]
    (only,) = problems(b"Serial," * 1_000_000)
    assert only[0] == 1


def test_a_file_beyond_the_cap_is_not_read() -> None:
    (only,) = problems(b"Serial\n" + b"Z1\n" * (module.BYTES_MAX // 3))
    assert "was not read" in only[1]


def test_as_many_lines_as_are_allowed_and_not_one_more() -> None:
    many = "Serial\n" + "".join(f"Z{number:07}\n" for number in range(LINES_MAX))
    assert len(serials(many)) == LINES_MAX
    (only,) = problems(many + "Z9999999\n")
    assert only == (0, "the file has more than 100000 lines")


def test_a_thousand_problems_are_told_as_a_hundred() -> None:
    found = problems("Serial\n" + "Z1X2\n" * 1000)
    assert len(found) == 101
    assert found[0] == (3, 'the serial "Z1X2" stands in line 2 already')
    assert found[-1] == (0, "and 899 more that are not told here")


def test_a_file_with_one_problem_is_not_taken_in_part() -> None:
    found = parse_manifest(b"Serial\nZ1X2\n9.1E+5\n")
    assert found.rows == ()
    assert found.lines == 2


CELLS = st.text(alphabet=st.sampled_from("Z1aé=+-@\"',;\t \0\u202eE.0"), max_size=12)
LINES = st.lists(CELLS, min_size=1, max_size=4).flatmap(
    lambda cells: st.sampled_from([",", ";", "\t"]).map(lambda by: by.join(cells))
)
TEXTS = st.tuples(
    st.sampled_from(["Serial", "Serial,Tag", "S/N;Asset;Model", "sep=,\nSerial", "", '"']),
    st.lists(LINES, max_size=8),
).map(lambda parts: "\n".join([parts[0], *parts[1]]))


@given(
    st.binary(max_size=200)
    | TEXTS.map(str.encode)
    | TEXTS.map(lambda text: text.encode("utf-16"))
    | TEXTS.map(lambda text: text.encode("cp1252", "replace"))
)
@example(b"sep=,")
@example(b"sep=,\n")
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfe")
def test_any_bytes_give_a_report_and_rows_only_without_problems(data: bytes) -> None:
    found = parse_manifest(data)
    assert bool(found.rows) != bool(found.problems)
    for row in found.rows:
        assert row.serial or row.asset_tag
        for text in (row.serial, row.asset_tag, row.model):
            assert text.isprintable()
    for remark in (*found.problems, *found.warnings):
        assert remark.told().isprintable()
        assert len(remark.told()) < 1000
    keys = [row.serial.upper().replace(" ", "") for row in found.rows if row.serial]
    assert len(keys) == len(set(keys))


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Z][0-9A-Z]{7}", fullmatch=True),
            st.text(
                alphabet=st.characters(categories=["L", "N", "P"], exclude_characters='"'),
                max_size=20,
            ),
        ),
        min_size=1,
        max_size=20,
        unique_by=(lambda one: one[0], lambda one: one[1].strip()),
    ),
    st.sampled_from([",", ";", "\t"]),
)
def test_what_is_written_is_what_is_read(pairs: list[tuple[str, str]], separator: str) -> None:
    lines = [separator.join(["Serial", "Model"])]
    lines += [f'"{serial}"{separator}"{model}"' for serial, model in pairs]
    found = parse_manifest("\n".join(lines).encode())
    assert not found.problems
    assert [(row.serial, row.model) for row in found.rows] == pairs
