"""Policy files for tests: a right one to change, and arbitrary ones, right or wrong."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from nullbay.config.policy_file import policy_of
from nullbay.config.problems import ConfigError, Problem
from nullbay.config.source import parse_source
from nullbay.domain.lot import DataCategory, Destination
from nullbay.domain.method import Method, Technique
from nullbay.domain.policy import Policy

CLEAR = """\
schema = "nullbay.policy/1"
id = "acme-clear/1"
title = "Acme Clear"
method = "clear"
techniques = ["host-overwrite"]

[overwrite]
scheme = "acme-clear/1"
passes = ["keyed"]

[verification]
magnetic = "nist-r1-10pct"
other = "full"
"""

PURGE = """\
schema = "nullbay.policy/1"
id = "acme-purge/1"
title = "Acme Purge"
method = "purge"
techniques = ["nvme-sanitize-block-erase"]

[verification]
magnetic = "full"
other = "full"
"""


def policy(text: str, file: str = "a.toml") -> Policy:
    """The policy of a text."""
    return policy_of(parse_source(file, text.encode())).policy


def problems(text: str, file: str = "a.toml") -> tuple[Problem, ...]:
    """What is wrong with a text; nothing if it loads."""
    try:
        policy(text, file)
    except ConfigError as error:
        return error.problems
    return ()


def _word(choices: Any) -> st.SearchStrategy[str]:
    return st.sampled_from([f'"{choice.value}"' for choice in choices])


PROFILES = st.sampled_from(
    [
        '"full"',
        '"nist-r1-10pct"',
        '{profile = "full"}',
        '{profile = "confidence", confidence = "0.99", residue = 0.001}',
        '{profile = "confidence", confidence = 0.5, residue = "0.999999"}',
    ]
)
LOWERED = (
    ("title", '"DoD PURGE, three passes"'),
    ("id", '"purge-it/1"'),
    ("method", '"purge"'),
    ("method", '"destroy"'),
    ("techniques", "[]"),
    ("techniques", '["host-overwrite"]'),
    ("techniques", '["tcg-revert", "host-overwrite", "ata-sanitize-block-erase"]'),
    ("verification.magnetic", '"none"'),
    ("verification.magnetic", '"1%"'),
    ("verification.other", "false"),
    ("verification.other", '{profile = ""}'),
    ("verification", "false"),
    ("overwrite.passes", "[]"),
    ("overwrite.scheme", '"p-u-r-g-e/1"'),
    ("acceptance.unwritten_sectors", "1"),
    ("acceptance.hidden_areas", '"ignored"'),
    ("acceptance.bad_sectors", "0"),
    ("budgets.write_retries", "-1"),
    ("unattended", '"yes"'),
)


@st.composite
def policy_texts(draw: Any) -> str:
    """Files in the form of a policy; about half of them right, the others changed for the worse."""
    purge = draw(st.booleans())
    methods = [Method.PURGE, Method.DESTROY] if purge else list(Method)
    strong = ["ata-sanitize-overwrite", "nvme-sanitize-block-erase", "scsi-sanitize-crypto-erase"]
    others = {f'"{one.value}"' for one in Technique if one is not Technique.HOST_OVERWRITE}
    first = f'"{draw(st.sampled_from(strong))}"' if purge else '"host-overwrite"'
    techniques = draw(st.lists(st.sampled_from(sorted(others - {first})), max_size=3, unique=True))
    techniques.insert(draw(st.integers(0, len(techniques))), first)
    two, unattended = draw(st.sampled_from([(True, False), (False, True), (False, False)]))
    rules = draw(
        st.dictionaries(st.tuples(_word(DataCategory), _word(Destination)), _word(methods))
    )
    rows = [f"{{category={c}, destination={d}, method={m}}}" for (c, d), m in rules.items()]
    keys = {
        "schema": '"nullbay.policy/1"',
        "id": f'"acme-{draw(st.integers(0, 9))}/{draw(st.integers(1, 9))}"',
        "title": draw(st.sampled_from(['"Acme"', '"Löschen"', '"Clear, 3 passes"'])),
        "method": '"purge"' if purge else '"clear"',
        "techniques": f"[{', '.join(techniques)}]",
        "unattended": str(unattended).lower(),
        "two_person_approval": str(two).lower(),
        "categories": f"[{', '.join(rows)}]",
        "verification.magnetic": draw(PROFILES),
        "verification.other": draw(PROFILES),
        "budgets.write_retries": str(draw(st.integers(0, 100))),
    }
    if not purge:
        passes = draw(st.lists(st.sampled_from(['"keyed"', '"00"', '"924924"']), min_size=1))
        keys |= {"overwrite.scheme": '"acme/1"', "overwrite.passes": f"[{', '.join(passes[:64])}]"}
    for key, value in draw(st.just([]) | st.lists(st.sampled_from(LOWERED), max_size=3)):
        if key == "verification":
            keys = {name: kept for name, kept in keys.items() if not name.startswith(key)}
        keys[key] = value
    return "\n".join(f"{key} = {value}" for key, value in keys.items()) + "\n"
