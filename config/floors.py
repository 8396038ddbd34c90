"""Floors no policy can lower (verdicts.md section 2), and the decision flow of SP 800-88.

The verdict holds the floors by itself (`domain.verdict`): no policy reaches it with less. What
stands here refuses a policy that says it would, when it is loaded, by name and with the floor.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nullbay.config.problems import Flaw, KeyPath, quoted
from nullbay.domain.lot import DataCategory, Destination
from nullbay.domain.method import MediaKind, Method, Technique, reaches
from nullbay.domain.policy import CategoryRule, Policy


@dataclass(frozen=True, slots=True)
class Floor:
    """One floor: a name, and the rule it stands for (verdicts.md section 2, `domain.policy`)."""

    name: str
    text: str

    def flaw(self, path: KeyPath, message: str, right: str) -> Flaw:
        """A key that would go below this floor."""
        told = f"{message}; that is below the floor {self.name}: {self.text}"
        return Flaw(path, told, right)


DEVICE_EVIDENCE = Floor(
    "device-evidence",
    "a step succeeded only by the device's own evidence after our own accepted command",
)
SECTORS_WRITTEN = Floor(
    "sectors-written",
    "under Clear by overwrite every addressable sector is known to be written and flushed",
)
HIDDEN_AREAS_COVERED = Floor(
    "hidden-areas-covered",
    "under Clear by overwrite hidden capacity (HPA, DCO, AMAX) is covered",
)
UNITS_COVERED = Floor("units-covered", "every LUN, namespace and zone of the drive is covered")
NOTHING_OLD = Floor("nothing-old", "no canary, old data or pattern mismatch is found")
VERIFIED = Floor(
    "verified", "verification is done, finished, and everything it had to read was readable"
)
SAME_DRIVE = Floor("same-drive", "identity and attachment do not change in between")
ABSENCE_VERIFIED = Floor(
    "absence-verified", "a drive that was absent is verified in full afterwards"
)
PURGE_PROVED = Floor(
    "purge-proved",
    "Purge is claimed only from a technique that reaches it on that medium; overwriting by the"
    " host reaches Clear, whatever the pattern",
)
CRYPTO_ERASE_PROVED = Floor(
    "crypto-erase-proved",
    "crypto erase counts only where every condition of SP 800-88r2 3.2 is true with a source",
)
SECOND_TECHNIQUE = Floor(
    "second-technique",
    "a TCG revert never stands alone, nor does Purge of a drive that took no canary or pre-hash",
)
EXCEPTIONS_RELEASED = Floor(
    "exceptions-released",
    "the list of exceptions is closed, and a named person validates each before release",
)
METHOD_KEPT = Floor(
    "method-kept", "a category may require more than the policy's own method, never less"
)

FLOORS = (
    DEVICE_EVIDENCE,
    SECTORS_WRITTEN,
    HIDDEN_AREAS_COVERED,
    UNITS_COVERED,
    NOTHING_OLD,
    VERIFIED,
    SAME_DRIVE,
    ABSENCE_VERIFIED,
    PURGE_PROVED,
    CRYPTO_ERASE_PROVED,
    SECOND_TECHNIQUE,
    EXCEPTIONS_RELEASED,
    METHOD_KEPT,
)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A key of `[acceptance]`: the one value it may have, what it would lower, and its meaning."""

    only: int | str
    floor: Floor
    meaning: str

    @property
    def shown(self) -> str:
        """The one value as TOML."""
        return f'"{self.only}"' if isinstance(self.only, str) else str(self.only)


ACCEPTANCE: Mapping[str, Acceptance] = MappingProxyType(
    {
        "unwritten_sectors": Acceptance(
            0, SECTORS_WRITTEN, "Sectors that may stay unwritten or unflushed"
        ),
        "unreadable_sectors": Acceptance(
            0, VERIFIED, "Sectors that verification had to read and may fail to read"
        ),
        "mismatched_sectors": Acceptance(
            0, NOTHING_OLD, "Sectors that may hold something else than was written"
        ),
        "old_samples": Acceptance(0, NOTHING_OLD, "Canaries and samples of old data still found"),
        "uncovered_units": Acceptance(
            0, UNITS_COVERED, "LUNs, namespaces and zones that may be left out"
        ),
        "hidden_areas": Acceptance("covered", HIDDEN_AREAS_COVERED, "HPA, DCO and AMAX"),
        "absent_drive_verification": Acceptance(
            "full", ABSENCE_VERIFIED, "How a drive that was away is verified afterwards"
        ),
        "changed_identity": Acceptance(
            "refused", SAME_DRIVE, "Another identity or attachment in between"
        ),
        "step_evidence": Acceptance("device", DEVICE_EVIDENCE, "Whose word makes a step succeed"),
        "crypto_erase_conditions": Acceptance(
            "proved", CRYPTO_ERASE_PROVED, "What crypto erase needs to count"
        ),
        "tcg_revert": Acceptance(
            "with-second-technique", SECOND_TECHNIQUE, "What a TCG revert needs to count"
        ),
        "exceptions": Acceptance("named-person", EXCEPTIONS_RELEASED, "Who releases exceptions"),
    }
)

NO_VERIFICATION = frozenset({"", "none", "no", "off", "never", "skip", "skipped", "disabled"})


_WISHES = frozenset(
    {"accept", "accepted", "allow", "allowed", "disable", "ignore", "ignored", "max", "no"}
    | {"permit", "require", "skip", "tolerate", "tolerated", "verify", "without"}
)
_ABOUT: tuple[tuple[tuple[str, ...], Floor], ...] = (
    (("verif", "readback", "unread"), VERIFIED),
    (("mismatch", "canar", "old", "residue"), NOTHING_OLD),
    (("hpa", "dco", "amax", "hidden"), HIDDEN_AREAS_COVERED),
    (("lun", "namespace", "zone", "unit"), UNITS_COVERED),
    (("identit", "serial", "attachment"), SAME_DRIVE),
    (("absen", "pulled"), ABSENCE_VERIFIED),
    (("crypto",), CRYPTO_ERASE_PROVED),
    (("tcg", "revert", "psid"), SECOND_TECHNIQUE),
    (("purge",), PURGE_PROVED),
    (("exception",), EXCEPTIONS_RELEASED),
    (("exit", "evidence"), DEVICE_EVIDENCE),
    (("sector", "bad", "unwrit", "partial", "incomplete", "error"), SECTORS_WRITTEN),
)


def accepted(key: str, value: object) -> Flaw | None:
    """A flaw unless `value` is the one value the floor allows (True is not 1 here)."""
    rule = ACCEPTANCE[key]
    if type(value) is type(rule.only) and value == rule.only:
        return None
    return rule.floor.flaw(("acceptance", key), f"can only be {rule.shown}", rule.shown)


def no_verification(path: KeyPath) -> Flaw:
    """Somebody wants to go without verification."""
    right = 'a profile: "full", "nist-r1-10pct" or "confidence"'
    return VERIFIED.flaw(path, "would leave out verification", right)


def loosening(path: KeyPath, near: str) -> Flaw | None:
    """A flaw where an unknown key looks like a wish to go below a floor, whatever it is called.

    `near` is the known key most like it, or empty: what that has too is a slip of the pen.
    """
    words = re.findall(r"[a-z0-9]+", str(path[-1]).casefold())
    wishes = _WISHES.intersection(words).difference(re.findall(r"[a-z0-9]+", near))
    if not wishes and (near or path[0] != "acceptance"):
        return None
    for about, floor in _ABOUT:
        if any(word.startswith(about) for word in words):
            return floor.flaw(path, "is no key of a policy and cannot be one", "no such key")
    return None


def policy_flaws(policy: Policy) -> Iterator[Flaw]:
    """Everything in a policy that could only end in a claim below a floor."""
    yield from _techniques(policy)
    yield from _claims(policy)
    for place, rule in enumerate(policy.categories):
        if not rule.method.satisfies(policy.method):
            message = f"requires {rule.method} where the policy's own method is {policy.method}"
            right = f'"{policy.method}" or more'
            yield METHOD_KEPT.flaw(("categories", place, "method"), message, right)


def _techniques(policy: Policy) -> Iterator[Flaw]:
    if policy.method.rank > Method.CLEAR.rank and Technique.HOST_OVERWRITE in policy.techniques:
        place = policy.techniques.index(Technique.HOST_OVERWRITE)
        message = f'is "{Technique.HOST_OVERWRITE}" in a policy whose method is {policy.method}'
        right = 'firmware techniques only; a Clear as second plan goes into "fallback"'
        yield PURGE_PROVED.flaw(("techniques", place), message, right)
    every = [(technique, media) for technique in policy.techniques for media in MediaKind]
    strongest = [reaches(technique, media) for technique, media in every]
    if not any(method.satisfies(policy.method) for method in strongest):
        if policy.method is Method.DESTROY:
            message = "is destroy, which no technique of a station reaches"
            right = '"clear" or "purge", and [[categories]] rules with method "destroy"'
            yield Flaw(("method",), message, right)
        else:
            message = f"name none that reaches {policy.method} on any medium"
            right = "a sanitize command, such as those of nist-purge"
            yield PURGE_PROVED.flaw(("techniques",), message, right)


def _claims(policy: Policy) -> Iterator[Flaw]:
    if policy.method.satisfies(Method.PURGE):
        return
    named: tuple[tuple[KeyPath, str], ...] = (
        (("id",), policy.policy_id),
        (("title",), policy.title),
        (("overwrite", "scheme"), policy.scheme.scheme_id),
    )
    for path, name in named:
        if "purg" in _plain(name):
            message = f"is {quoted(name)}, which claims Purge where the method is {policy.method}"
            yield PURGE_PROVED.flaw(path, message, "a name without the word; a pattern is no level")


def _plain(text: str) -> str:
    """Letters alone, compatibility forms folded, so that `P U R G E` is found too."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in folded if character.isalpha())


DECISION_FLOW: Mapping[tuple[DataCategory, Destination], Method] = MappingProxyType(
    {
        (DataCategory.LOW, Destination.RETAINED): Method.CLEAR,
        (DataCategory.LOW, Destination.LEAVING): Method.PURGE,
        (DataCategory.LOW, Destination.NOT_REUSED): Method.PURGE,
        (DataCategory.MODERATE, Destination.RETAINED): Method.CLEAR,
        (DataCategory.MODERATE, Destination.LEAVING): Method.PURGE,
        (DataCategory.MODERATE, Destination.NOT_REUSED): Method.DESTROY,
        (DataCategory.HIGH, Destination.RETAINED): Method.PURGE,
        (DataCategory.HIGH, Destination.LEAVING): Method.DESTROY,
        (DataCategory.HIGH, Destination.NOT_REUSED): Method.DESTROY,
    }
)
"""SP 800-88r1 figure 4-1 (reference/standards.md section 1). For low data the figure asks only
whether the media leave; media that are not reused do, as scrap."""


def below_the_flow(policy: Policy) -> Iterator[tuple[int, CategoryRule, Method]]:
    """Rules that ask less than the decision flow would: allowed, and worth a note."""
    for place, rule in enumerate(policy.categories):
        flow = DECISION_FLOW[rule.category, rule.destination]
        if not rule.method.satisfies(flow):
            yield place, rule, flow
