"""A sanitization policy from its TOML file, `nullbay.policy/1`, to a `Policy`, or why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nullbay.config import floors
from nullbay.config.policy_tables import (
    CONFIDENCE_RIGHT,
    ONE_KEYED_PASS,
    SCHEMA,
    PolicyTable,
    ProfileTable,
)
from nullbay.config.problems import Flaw, KeyPath
from nullbay.config.source import Source, read_source, require_schema
from nullbay.config.tables import keys_of, validated
from nullbay.domain.ids import PolicyId
from nullbay.domain.method import Technique
from nullbay.domain.patterns import OverwriteScheme, parse_pattern
from nullbay.domain.policy import (
    PPM,
    Budgets,
    CategoryRule,
    Confidence,
    Full,
    HealthLine,
    NistR1,
    Policy,
    VerificationProfile,
)


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy with the file it came from."""

    policy: Policy
    source: Source


def policy_keys() -> tuple[str, ...]:
    """Every dotted key of a policy file; lists of tables without their places."""
    return tuple(key.name for key in keys_of(PolicyTable))


def read_policy(path: Path) -> LoadedPolicy:
    """The policy of one file. Raises ConfigError with every problem: form, contradiction, floor."""
    return policy_of(read_source(path))


def policy_of(source: Source) -> LoadedPolicy:
    """The policy of a parsed file. Raises ConfigError as `read_policy`."""
    require_schema(source, SCHEMA)
    table = validated(source, PolicyTable, meant=floors.loosening)
    source.refuse(_contradictions(table))
    policy = _policy(table)
    source.refuse(floors.policy_flaws(policy))
    return LoadedPolicy(policy, source)


def _contradictions(table: PolicyTable) -> Iterator[Flaw]:
    """What is wrong between keys that are right each by itself."""
    yield from _repeated(table)
    yield from _profile("magnetic", table.verification.magnetic)
    yield from _profile("other", table.verification.other)
    writes = Technique.HOST_OVERWRITE in table.techniques
    if writes and table.overwrite is None:
        right = "a table with: scheme, passes"
        yield Flaw(("overwrite",), "is missing where host-overwrite is allowed", right)
    if not writes and table.overwrite is not None:
        message = "says what is written where no allowed technique writes it"
        yield Flaw(("overwrite",), message, 'no such table, or "host-overwrite" in techniques')
    budgets = table.budgets
    if budgets.continue_below_celsius >= budgets.pause_above_celsius:
        message = f"is not below pause_above_celsius, {budgets.pause_above_celsius}"
        path = ("budgets", "continue_below_celsius")
        yield Flaw(path, message, f"less than {budgets.pause_above_celsius}")
    waits_s = budgets.write_retries * budgets.retry_pause_s
    if budgets.slow_below_bytes_per_s and waits_s >= budgets.slow_s:
        message = f"is not more than the {waits_s} s that the retries of one sector wait"
        right = f"more than {waits_s}, or slow_below_bytes_per_s = 0"
        yield Flaw(("budgets", "slow_s"), message, right)
    if table.unattended and table.two_person_approval:
        message = "is true where two people have to approve each plan"
        yield Flaw(("unattended",), message, "one of unattended and two_person_approval false")
    if table.fallback == table.policy_id:
        yield Flaw(("fallback",), "is this policy itself", "another policy")


def _repeated(table: PolicyTable) -> Iterator[Flaw]:
    for place, technique in enumerate(table.techniques):
        if technique in table.techniques[:place]:
            yield Flaw(("techniques", place), f"names {technique} twice", "each technique once")
    seen = set()
    for place, rule in enumerate(table.categories):
        about = (rule.category, rule.destination)
        if about in seen:
            message = f"has two rules for {rule.category} data, {rule.destination}"
            yield Flaw(("categories", place), message, "one rule for each pair")
        seen.add(about)


def _profile(name: str, table: ProfileTable) -> Iterator[Flaw]:
    path: KeyPath = ("verification", name)
    if table.profile != Confidence.kind:
        for key in ("confidence", "residue"):
            if getattr(table, key) is not None:
                message = f"has no meaning with the profile {table.profile}"
                yield Flaw((*path, key), message, CONFIDENCE_RIGHT)
        return
    for key in ("confidence", "residue"):
        if getattr(table, key) is None:
            yield Flaw((*path, key), "is missing", CONFIDENCE_RIGHT)
    if table.confidence is None or table.residue is None:
        return
    if table.confidence < PPM // 2:
        yield Flaw((*path, "confidence"), "is out of range", '"0.5" to "0.999999"')
        return
    try:
        Confidence(table.confidence, table.residue)
    except ValueError as error:
        yield Flaw((*path, "residue"), f"is too small: {error}", 'a larger share, or "full"')


def _policy(table: PolicyTable) -> Policy:
    return Policy(
        policy_id=PolicyId(table.policy_id),
        title=table.title,
        method=table.method,
        categories=tuple(
            CategoryRule(rule.category, rule.destination, rule.method) for rule in table.categories
        ),
        techniques=table.techniques,
        scheme=_scheme(table),
        verify_magnetic=_verification(table.verification.magnetic),
        verify_other=_verification(table.verification.other),
        final_state=table.final_state,
        unattended=table.unattended,
        two_person_approval=table.two_person_approval,
        fallback=None if table.fallback is None else PolicyId(table.fallback),
        budgets=Budgets(**table.budgets.model_dump()),
        health=HealthLine(**table.health.model_dump()),
    )


def _scheme(table: PolicyTable) -> OverwriteScheme:
    if table.overwrite is None:
        return ONE_KEYED_PASS
    passes = tuple(parse_pattern(text) for text in table.overwrite.passes)
    return OverwriteScheme(table.overwrite.scheme, passes)


def _verification(table: ProfileTable) -> VerificationProfile:
    match table.profile:
        case "full":
            return Full()
        case "nist-r1-10pct":
            return NistR1()
        case "confidence":
            # Both are there: `_contradictions` came before.
            return Confidence(table.confidence or 0, table.residue or 0)
