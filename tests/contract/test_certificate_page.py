"""docs/certificate.md against the published schema and against who really vouches for a field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from nullbay.certs import projection, statement
from nullbay.domain.verdict import conclude
from support import evidence_factory as factory
from support.markdown import table
from support.tree import TOP

PAGE = (TOP / "docs" / "certificate.md").read_text()
OUTER = {"_type", "predicateType", "subject[].name", "subject[].digest.sha256"}
# Compared with the transcript by a rule of their own, or being the transcript.
BENCH_BY_RULE = {
    "predicate.environment.bay",
    "predicate.transcript.payloadType",
    "predicate.transcript.payload",
    "predicate.transcript.signatures[].sig",
}


def rows() -> dict[str, list[str]]:
    found = {row[0].strip("`"): row[1:] for row in table(PAGE, "Field")}
    return {name if name in OUTER else f"predicate.{name}": row for name, row in found.items()}


def paths(schema: dict[str, Any], node: dict[str, Any], at: str = "") -> Iterator[str]:
    """Every leaf of a schema by its path."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in node:
        for choice in node["anyOf"]:
            if choice.get("type") != "null":
                yield from paths(schema, choice, at)
    elif "properties" in node:
        for name, below in node["properties"].items():
            yield from paths(schema, below, f"{at}.{name}".strip("."))
    elif node.get("type") == "array":
        yield from paths(schema, node["items"], f"{at}[]")
    else:
        yield at


def leaves(value: Any, at: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, below in value.items():
            yield from leaves(below, f"{at}.{name}")
    elif isinstance(value, list):
        for below in value:
            yield from leaves(below, f"{at}[]")
    else:
        yield at


def test_every_field_has_its_row_and_every_row_its_field() -> None:
    schema = statement.json_schema()
    existing = set(paths(schema, schema))
    assert len(existing) > 150
    assert set(rows()) == existing


def test_the_page_says_rightly_on_whose_word_a_field_rests() -> None:
    by_bench = set(BENCH_BY_RULE)
    for make in factory.EVIDENCE.values():
        evidence = make()
        derived = projection.derived(factory.transcript(evidence), conclude(evidence))
        by_bench |= set(leaves(derived, "predicate"))
    said = rows()
    assert {row[1] for row in said.values()} == {"bench", "station"}
    for path in by_bench & set(said):
        assert said[path][1] == "bench", path
    for path, row in said.items():
        assert row[1] == "station" or path in by_bench, path


def test_every_row_is_filled_in() -> None:
    assert all(cell for row in rows().values() for cell in row)
    assert all(len(row) == 3 for row in rows().values())


def test_the_examples_of_the_page_are_words_of_the_code() -> None:
    words = json.dumps(statement.json_schema())
    for word in re.findall(r"`(SANITIZED[A-Z_]*|NOT_SANITIZED|INDETERMINATE)`", PAGE):
        assert f'"{word}"' in words


def test_codes_and_notes_of_the_verifier_are_on_the_auditors_page() -> None:
    page = (TOP / "docs" / "auditor.md").read_text()
    source = (TOP / "certs" / "verify.py").read_text()
    checks = {
        f"certificate.{name}" for name in re.findall(r'NotAuthenticError\(\s*"([a-z-]+)"', source)
    }
    assert len(checks) >= 8
    assert {row[0].strip("`") for row in table(page, "Code")} == checks
    notes = set(re.findall(r'^NOTE_[A-Z_]+ = "([a-z-]+)"$', source, re.MULTILINE))
    assert {row[0].strip("`") for row in table(page, "Note")} == notes
