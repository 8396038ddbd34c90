from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nullbay.config import markdown
from nullbay.config.check import check, examine
from nullbay.config.floors import ACCEPTANCE, FLOORS
from nullbay.config.policies import load_policies, shipped
from nullbay.config.settings import Settings, load
from nullbay.domain.ids import PolicyId
from support.policy_texts import CLEAR, PURGE
from support.tree import TOP

HEAD = 'schema = "nullbay.config/1"\n'


def station(tmp_path: Path, settings: str = HEAD, **policies: str) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "station.toml").write_text(settings)
    for name, text in policies.items():
        (tmp_path / "policies" / f"{name}.toml").write_text(text)
    return tmp_path


def test_a_sound_configuration_has_no_problems(tmp_path: Path) -> None:
    settings = HEAD + '[policies]\ndefault = "acme-clear"\n'
    found = examine(station(tmp_path, settings, a=CLEAR, b=PURGE))
    assert (found.problems, found.notes) == ((), ())
    assert found.settings.default_policy == "acme-clear"
    ids = {policy.policy_id for policy in found.policies}
    assert ids == {*shipped(), "acme-clear/1", "acme-purge/1"}


def test_settings_and_policies_are_looked_at_together(tmp_path: Path) -> None:
    lowering = CLEAR + "[acceptance]\nunwritten_sectors = 4\n"
    path = station(tmp_path, HEAD + "[station]\nnam = 1\n", a=lowering, b="x")
    assert [(Path(one.file).name, one.line, one.key) for one in check(path)] == [
        ("a.toml", 15, "acceptance.unwritten_sectors"),
        ("b.toml", 1, "x"),
        ("station.toml", 3, "station.nam"),
    ]


def test_what_check_finds_is_what_loading_refuses(tmp_path: Path) -> None:
    path = station(tmp_path, HEAD, a=CLEAR)
    assert check(path) == ()
    assert PolicyId("acme-clear/1") in load_policies(load(path).policies_directory)


def test_a_default_policy_has_to_exist(tmp_path: Path) -> None:
    path = station(tmp_path, HEAD + '\n[policies]\ndefault = "nist-claer"\n')
    (problem,) = check(path)
    assert (problem.file, problem.line) == (str(path / "station.toml"), 4)
    assert problem.key == "policies.default"
    assert "nist-clear/1" in problem.right


def test_a_path_that_does_not_exist_is_a_problem_and_nothing_is_made_up(tmp_path: Path) -> None:
    found = examine(tmp_path / "missing")
    (problem,) = found.problems
    assert "does not exist" in problem.message
    assert found.settings == Settings()


RULE = '[[categories]]\ncategory = "%s"\ndestination = "%s"\nmethod = "%s"\n'


def test_less_than_the_decision_flow_is_allowed_and_noted(tmp_path: Path) -> None:
    less = CLEAR + RULE % ("high", "leaving", "purge") + RULE % ("low", "leaving", "purge")
    path = station(tmp_path, HEAD, a=less)
    assert check(path) == ()
    (note,) = examine(path).notes
    assert (note.line, note.key) == (17, "categories.method")
    assert "asks for destroy where high data is leaving" in note.message


def test_a_weaker_fallback_is_allowed_and_noted(tmp_path: Path) -> None:
    falling = PURGE.replace("method =", 'fallback = "nist-clear/1"\nmethod =')
    path = station(tmp_path, HEAD, a=falling)
    assert check(path) == ()
    (note,) = examine(path).notes
    assert (note.line, note.key) == (4, "fallback")
    assert "clear after a failed purge" in note.message


# --- the pages made from all this ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "generated"),
    [
        ("settings.md", markdown.settings_markdown),
        ("policies.md", markdown.policies_markdown),
    ],
)
def test_the_pages_are_the_generated_ones(page: str, generated: Callable[[], str]) -> None:
    assert (TOP / "docs" / page).read_text() == generated()


def example(page: str) -> str:
    (found,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    return str(found)


def test_the_examples_of_the_pages_load(tmp_path: Path) -> None:
    settings = example(markdown.settings_markdown())
    policy = example(markdown.policies_markdown())
    path = station(tmp_path, settings, acme=policy)
    assert check(path) == ()
    assert load(path).bays
    assert PolicyId("acme-clear/1") in load_policies(path / "policies")


def test_the_policy_page_names_every_floor_policy_and_hash() -> None:
    page = markdown.policies_markdown()
    for floor in FLOORS:
        assert f"| `{floor.name}` | {floor.text} |" in page
    for key in ACCEPTANCE:
        assert f"`acceptance.{key}`" in page
    for policy_id, policy in shipped().items():
        assert f"| `{policy_id}` |" in page
        assert f"`{policy.sha256}`" in page


def test_the_hash_can_be_computed_from_the_page_alone() -> None:
    (canonical,) = re.findall(r"```json\n(.*)\n```", markdown.policies_markdown())
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    assert digest == shipped()[PolicyId("nist-clear/1")].sha256
