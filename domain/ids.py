"""Identifiers as types, so that a job is never passed where a drive is meant."""

from __future__ import annotations

import re
from typing import NewType

JobId = NewType("JobId", str)
BayId = NewType("BayId", str)
LotRef = NewType("LotRef", str)
PolicyId = NewType("PolicyId", str)
IdentityKey = NewType("IdentityKey", str)
PlanSha256 = NewType("PlanSha256", str)
InsertionId = NewType("InsertionId", str)

JOB_ID_FORM = re.compile(r"j-[0-9]{8}T[0-9]{6}-[0-9a-f]{12}")
POLICY_ID_FORM = re.compile(r"[a-z0-9][a-z0-9-]{0,62}/[1-9][0-9]{0,8}")


def job_id(at: str, random: bytes) -> JobId:
    """`j-20261121T195108-<12 hex>` from an RFC 3339 time and six random bytes: sorts by start."""
    digits = re.sub(r"[-:]", "", at[:19])
    made = f"j-{digits}-{random[:6].hex()}"
    if not JOB_ID_FORM.fullmatch(made):
        msg = f"not a time to make a job id from: {at!r}"
        raise ValueError(msg)
    return JobId(made)
