"""What is known of labels, serials and manifests, as data.

`label_rules.toml` and `manifest_columns.toml` are shipped beside the code and read as strictly as
every configuration file.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from nullbay.config.problems import Flaw
from nullbay.config.source import read_source, require_schema
from nullbay.config.tables import Table, validated

RULES_SCHEMA = "nullbay.label-rules/1"
COLUMNS_SCHEMA = "nullbay.manifest-columns/1"
_HERE = Path(__file__).parent
_PUNCTUATION = re.compile(r"[\s._\-/:#()\[\]]+")


class Side(enum.StrEnum):
    """Whose text a rule reads: the label's, or the drive's own serial or world-wide name."""

    LABEL = "label"
    SERIAL = "serial"
    WWN = "wwn"


@dataclass(frozen=True, slots=True)
class LabelRule:
    """One known difference. `form` matches a whole text; its group `serial` is what counts."""

    rule_id: str
    side: Side
    form: re.Pattern[str]
    vendors: tuple[str, ...]
    models: tuple[str, ...]
    meaning: str
    source: str


@dataclass(frozen=True, slots=True)
class LabelRules:
    """All rules in their order, the forms of serials, and below how many characters none is."""

    rules: tuple[LabelRule, ...]
    serial_forms: tuple[re.Pattern[str], ...]
    tag_below_characters: int


class Column(enum.StrEnum):
    """What a column of a manifest means."""

    SERIAL = "serial"
    ASSET_TAG = "asset_tag"
    MODEL = "model"


def _compiles(text: str) -> str:
    try:
        re.compile(text)
    except re.error:
        msg = "is no regular expression"
        raise ValueError(msg) from None
    return text


_Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
_Form = Annotated[str, StringConstraints(min_length=1, max_length=400), AfterValidator(_compiles)]
_Words = Annotated[str, StringConstraints(min_length=1, max_length=400)]
_Globs = Annotated[tuple[_Words, ...], Field(strict=False, max_length=64)]


class _RuleTable(Table):
    rule_id: Annotated[_Id, Field(alias="id")]
    side: Annotated[Side, Field(strict=False)]
    form: _Form
    vendors: _Globs = ()
    models: _Globs = ()
    meaning: _Words
    source: _Words


class _FormTable(Table):
    form_id: Annotated[_Id, Field(alias="id")]
    form: _Form
    source: _Words


class _FormsTable(Table):
    tag_below_characters: Annotated[int, Field(ge=1, le=64)]


class _RulesTable(Table):
    schema_name: Annotated[Literal["nullbay.label-rules/1"], Field(alias="schema")]
    rule: Annotated[tuple[_RuleTable, ...], Field(strict=False, max_length=1000)]
    form: Annotated[tuple[_FormTable, ...], Field(strict=False, max_length=1000)]
    forms: _FormsTable


class _ColumnsTable(Table):
    schema_name: Annotated[Literal["nullbay.manifest-columns/1"], Field(alias="schema")]
    serial: _Globs
    asset_tag: _Globs
    model: _Globs


@cache
def label_rules() -> LabelRules:
    """The shipped rules. Raises ConfigError only where the installation is broken."""
    return read_label_rules(_HERE / "label_rules.toml")


def read_label_rules(path: Path) -> LabelRules:
    """Rules of a file. Raises ConfigError: a rule without its group, an id given twice."""
    source = read_source(path)
    require_schema(source, RULES_SCHEMA)
    table = validated(source, _RulesTable)
    rules = tuple(
        LabelRule(
            one.rule_id,
            one.side,
            re.compile(one.form),
            tuple(glob.upper() for glob in one.vendors),
            tuple(glob.upper() for glob in one.models),
            one.meaning,
            one.source,
        )
        for one in table.rule
    )
    ids = [rule.rule_id for rule in rules]
    source.refuse(
        [
            Flaw(("rule", place, "form"), "has no group called serial", "(?P<serial>…)")
            for place, rule in enumerate(rules)
            if "serial" not in rule.form.groupindex
        ]
        + [
            Flaw(("rule", place, "id"), "is given twice", "an id of its own")
            for place, one in enumerate(ids)
            if one in ids[:place]
        ]
    )
    forms = tuple(re.compile(one.form) for one in table.form)
    return LabelRules(rules, forms, table.forms.tag_below_characters)


@cache
def manifest_columns() -> Mapping[str, Column]:
    """The meaning of each known column name, by `column_key` of the name."""
    source = read_source(_HERE / "manifest_columns.toml")
    require_schema(source, COLUMNS_SCHEMA)
    table = validated(source, _ColumnsTable)
    names = {
        Column.SERIAL: table.serial,
        Column.ASSET_TAG: table.asset_tag,
        Column.MODEL: table.model,
    }
    return {column_key(name): column for column, given in names.items() for name in given}


def column_key(name: str) -> str:
    """A column name as it is compared: lower case, composed, without blanks and punctuation."""
    return _PUNCTUATION.sub("", unicodedata.normalize("NFC", name).casefold())
