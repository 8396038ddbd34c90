"""The policies a station knows: the shipped ones and those of its own directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from nullbay.config.policy_file import LoadedPolicy, read_policy
from nullbay.config.policy_tables import ONE_KEYED_PASS
from nullbay.config.problems import (
    ConfigError,
    Flaw,
    Problem,
    UnknownPolicyError,
    quoted,
    shown_file,
)
from nullbay.config.source import toml_files
from nullbay.domain.ids import PolicyId
from nullbay.domain.policy import Policy

SHIPPED_DIRECTORY = Path(__file__).with_name("policies")


def shipped() -> Mapping[PolicyId, Policy]:
    """The policies that come with nullbay, by id."""
    return _policies(_shipped())


def load_policies(directory: Path | None) -> Mapping[PolicyId, Policy]:
    """The shipped policies and those of `directory`, by id; None is no directory.

    Raises ConfigError with the problems of all files. Success proves that ids and schemes are
    unique, no shipped name was taken, and every fallback leads to a known policy and to an end.
    """
    loaded, problems = examine_policies(directory)
    if problems:
        raise ConfigError(problems)
    return _policies(loaded)


def examine_policies(
    directory: Path | None,
) -> tuple[tuple[LoadedPolicy, ...], tuple[Problem, ...]]:
    """All policies that can be read on their own, the shipped ones first, and every problem."""
    loaded = list(_shipped())
    problems: list[Problem] = []
    if directory is not None:
        try:
            files = toml_files(directory)
        except ConfigError as error:
            return tuple(loaded), error.problems
        for file in files:
            try:
                loaded.append(read_policy(file))
            except ConfigError as error:
                problems += error.problems
    problems += _between(loaded, complete=not problems)
    return tuple(loaded), tuple(problems)


def resolve(policies: Mapping[PolicyId, Policy], text: str) -> Policy:
    """The policy `name/version`, or the newest version of `name`.

    Raises UnknownPolicyError, a ConfigError, naming the known ones.
    """
    exact = policies.get(PolicyId(text))
    if exact is not None:
        return exact
    versions = [policy_id for policy_id in policies if policy_id.rpartition("/")[0] == text]
    if not versions:
        known = "one of " + ", ".join(sorted(policies))
        raise UnknownPolicyError([Problem("", 0, "", f"no policy is called {quoted(text)}", known)])
    return policies[max(versions, key=_version)]


@cache
def _shipped() -> tuple[LoadedPolicy, ...]:
    loaded = tuple(read_policy(file) for file in toml_files(SHIPPED_DIRECTORY))
    if problems := list(_between(loaded, complete=True)):
        raise ConfigError(problems)
    return loaded


def _policies(loaded: tuple[LoadedPolicy, ...]) -> Mapping[PolicyId, Policy]:
    return MappingProxyType({one.policy.policy_id: one.policy for one in loaded})


def _version(policy_id: PolicyId) -> int:
    return int(policy_id.rpartition("/")[2])


def _name(policy_id: PolicyId) -> str:
    return policy_id.rpartition("/")[0]


def _between(
    loaded: list[LoadedPolicy] | tuple[LoadedPolicy, ...], *, complete: bool
) -> Iterator[Problem]:
    """What is wrong between files. Unless all could be read, a missing fallback is not blamed."""
    first: dict[PolicyId, LoadedPolicy] = {}
    shipped_names: set[str] = set()
    for one in loaded:
        policy_id = one.policy.policy_id
        is_shipped = Path(one.source.file).parent == SHIPPED_DIRECTORY
        if is_shipped:
            shipped_names.add(_name(policy_id))
        if policy_id in first:
            other = shown_file(first[policy_id].source.file)
            message = f"is {quoted(policy_id)}, which {other} defines too"
            yield one.source.problem(Flaw(("id",), message, "a name or version of its own"))
        elif not is_shipped and _name(policy_id) in shipped_names:
            message = f"is {quoted(policy_id)}, the name of a policy shipped with nullbay"
            yield one.source.problem(Flaw(("id",), message, 'a name of your own: "acme-clear/1"'))
        first.setdefault(policy_id, one)
    yield from _schemes(loaded)
    for one in first.values():
        yield from _fallback(one, first, complete=complete)


def _schemes(loaded: list[LoadedPolicy] | tuple[LoadedPolicy, ...]) -> Iterator[Problem]:
    """One scheme id is one list of passes: it is what a certificate names."""
    passes = {ONE_KEYED_PASS.scheme_id: (ONE_KEYED_PASS.passes, "nullbay itself")}
    for one in loaded:
        scheme = one.policy.scheme
        known, where = passes.setdefault(
            scheme.scheme_id, (scheme.passes, shown_file(one.source.file))
        )
        if known != scheme.passes:
            message = f"is {quoted(scheme.scheme_id)}, which has other passes in {where}"
            right = "another name or version for other passes"
            yield one.source.problem(Flaw(("overwrite", "scheme"), message, right))


def _fallback(
    one: LoadedPolicy, known: Mapping[PolicyId, LoadedPolicy], *, complete: bool
) -> Iterator[Problem]:
    chain = [one.policy.policy_id]
    after = one.policy.fallback
    while after is not None and after in known and after not in chain:
        chain.append(after)
        after = known[after].policy.fallback
    if after is None:
        return
    if after in chain:
        if after == chain[0]:
            told = " > ".join([*chain, after])
            flaw = Flaw(("fallback",), f"leads back to itself: {told}", "a chain with an end")
            yield one.source.problem(flaw)
    elif len(chain) == 1 and complete:
        message = f"is {quoted(after)}, which no file defines"
        yield one.source.problem(Flaw(("fallback",), message, "one of " + ", ".join(sorted(known))))
