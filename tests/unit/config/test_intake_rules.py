from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from nullbay.config.intake_rules import (
    Column,
    column_key,
    label_rules,
    manifest_columns,
    read_label_rules,
)
from nullbay.config.problems import ConfigError
from support.tree import TOP

HEAD = 'schema = "nullbay.label-rules/1"\n[forms]\ntag_below_characters = 8\n'
FORM = "[[form]]\nid = 'f'\nform = 'X+'\nsource = 'book'\n"
RULE = "[[rule]]\nid = 'r'\nside = 'label'\nform = '{}'\nmeaning = 'm'\nsource = 'book'\n"
GOOD = RULE.format("N(?P<serial>.+)")


def test_rules_are_read_from_the_shipped_file() -> None:
    given = tomllib.loads((TOP / "config" / "label_rules.toml").read_text())
    assert [rule.rule_id for rule in label_rules().rules] == [one["id"] for one in given["rule"]]
    assert len(label_rules().serial_forms) == len(given["form"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD.replace("/1", "/2") + GOOD + FORM, "does not know"),
        (HEAD + RULE.format("N(.+)") + FORM, "no group called serial"),
        (HEAD + RULE.format("N(") + FORM, "no regular expression"),
        (HEAD + GOOD + GOOD + FORM, "is given twice"),
        (HEAD + GOOD.replace("source = 'book'\n", "") + FORM, "is missing"),
        (HEAD + GOOD.replace("label", "lable") + FORM, "not known"),
    ],
)
def test_a_rule_that_cannot_be_one_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_label_rules(path)


def test_no_column_name_has_two_meanings() -> None:
    given = tomllib.loads((TOP / "config" / "manifest_columns.toml").read_text())
    names = [(column_key(name), column) for column in Column for name in given[column.value]]
    meanings = dict(names)
    assert all(meanings[key] == column for key, column in names)
    assert manifest_columns() == meanings


def test_column_names_are_compared_without_blanks_case_and_punctuation() -> None:
    for name in ("Serial-No.", "SERIAL NO", " serial_no ", "Serial No:", "serial/no"):
        assert manifest_columns()[column_key(name)] is Column.SERIAL
    # composed and decomposed umlauts are one
    assert column_key("Datentra\u0308ger Seriennummer") == column_key("Datenträger Seriennummer")
