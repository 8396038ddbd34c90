"""Who may do what at a station, by role (SP 800-88: roles; bench.md, Lots, labels, people)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class Role(enum.StrEnum):
    """What a person does (reference/standards.md section 1, roles)."""

    OPERATOR = "operator"
    VERIFIER = "verifier"
    VALIDATOR = "validator"
    CONCURRENCE = "concurrence"
    CUSTODIAN = "custodian"


class Act(enum.StrEnum):
    """What somebody may do at the station. Looking is open to every known person.

    `scan`: scan drives in and out. `lots`: open and close lots, bring manifests. `approve`: arm a
    plan. `concur`: be the second of two approvals, never the first. `abort`: conclude a job or stop
    a countdown. `verify`: give the result of an independent re-verification. `validate`: decide
    about a result with exceptions.
    """

    LOOK = "look"
    SCAN = "scan"
    LOTS = "lots"
    APPROVE = "approve"
    CONCUR = "concur"
    ABORT = "abort"
    VERIFY = "verify"
    VALIDATE = "validate"


MAY: Mapping[Role, frozenset[Act]] = MappingProxyType(
    {
        Role.OPERATOR: frozenset(
            {Act.LOOK, Act.SCAN, Act.LOTS, Act.APPROVE, Act.CONCUR, Act.ABORT}
        ),
        Role.VERIFIER: frozenset({Act.LOOK, Act.VERIFY}),
        Role.VALIDATOR: frozenset(
            {Act.LOOK, Act.LOTS, Act.APPROVE, Act.CONCUR, Act.ABORT, Act.VALIDATE}
        ),
        Role.CONCURRENCE: frozenset({Act.LOOK, Act.CONCUR}),
        Role.CUSTODIAN: frozenset({Act.LOOK, Act.SCAN, Act.LOTS}),
    }
)


def may(role: Role, act: Act) -> bool:
    """Whether a person of that role may do that."""
    return act in MAY[role]
