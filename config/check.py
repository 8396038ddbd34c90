"""Everything `nullbay config check` looks at: settings and policies together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nullbay.config.floors import below_the_flow
from nullbay.config.policies import SHIPPED_DIRECTORY, examine_policies, resolve
from nullbay.config.policy_file import LoadedPolicy
from nullbay.config.problems import ConfigError, Flaw, Note, Problem, quoted
from nullbay.config.settings import Settings, examine_settings
from nullbay.domain.ids import PolicyId
from nullbay.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class Checked:
    """What was read, what is wrong with it, and what is worth knowing. Nothing else was changed."""

    settings: Settings
    policies: tuple[Policy, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]


def check(path: Path | None = None) -> tuple[Problem, ...]:
    """Every problem of a configuration and its policies, by file and line; empty means it loads."""
    return examine(path).problems


def examine(path: Path | None = None) -> Checked:
    """Settings, policies, problems and notes of a configuration; never raises ConfigError."""
    examined = examine_settings(path)
    loaded, in_policies = examine_policies(examined.settings.policies_directory)
    problems = [*examined.problems, *in_policies]
    policies = {one.policy.policy_id: one.policy for one in loaded}
    default, source = examined.settings.default_policy, examined.default_policy_source
    if default is not None and source is not None and not in_policies:
        try:
            resolve(policies, default)
        except ConfigError:
            message = f"is {quoted(default)}, which no file defines"
            flaw = Flaw(("policies", "default"), message, "one of " + ", ".join(sorted(policies)))
            problems.append(source.problem(flaw))
    for source, place, named in () if in_policies else examined.bay_policies:
        try:
            resolve(policies, named)
        except ConfigError:
            message = f"is {quoted(named)}, which no file defines"
            right = "one of " + ", ".join(sorted(policies))
            problems.append(source.problem(Flaw(("bay", place, "policy"), message, right)))
    notes = [*examined.notes]
    for one in loaded:
        if Path(one.source.file).parent != SHIPPED_DIRECTORY:
            notes += _policy_notes(one, policies)
    return Checked(
        examined.settings,
        tuple(policies.values()),
        tuple(sorted(problems)),
        tuple(sorted(notes)),
    )


def _policy_notes(one: LoadedPolicy, policies: Mapping[PolicyId, Policy]) -> list[Note]:
    fallback = policies.get(one.policy.fallback) if one.policy.fallback else None
    weaker = []
    if fallback is not None and not fallback.method.satisfies(one.policy.method):
        message = f"leads to {fallback.method} after a failed {one.policy.method}"
        weaker.append(one.source.note(("fallback",), f"{message}; its certificates say so"))
    return weaker + [
        one.source.note(
            ("categories", place, "method"),
            f"is {rule.method}; the decision flow of SP 800-88 asks for {flow}"
            f" where {rule.category} data is {rule.destination}",
        )
        for place, rule, flow in below_the_flow(one.policy)
    ]
