"""The tables of a policy file, `nullbay.policy/1`: every key, its type, default and meaning."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    model_validator,
)

from nullbay.config import floors
from nullbay.config.problems import quoted
from nullbay.config.tables import GivenText, Right, Table, fault, one_of
from nullbay.domain.ids import POLICY_ID_FORM
from nullbay.domain.lot import DataCategory, Destination
from nullbay.domain.method import Method, Technique
from nullbay.domain.patterns import PASSES_MAX, Keyed, OverwriteScheme, parse_pattern
from nullbay.domain.policy import (
    Budgets,
    Confidence,
    FinalState,
    Full,
    HealthLine,
    NistR1,
)

SCHEMA = "nullbay.policy/1"
COUNT_MAX = 1_000_000_000
SECONDS_MAX = 10 * 366 * 86_400
RATE_MAX = 2**53 - 1
SLOW_S_MIN = 60

ONE_KEYED_PASS = OverwriteScheme("one-keyed-pass/1", (Keyed(),))
"""The scheme of policies that do not overwrite; nothing of it is ever written."""

_BUDGETS = Budgets()
_HEALTH = HealthLine()
_PROFILES = (Full.kind, NistR1.kind, Confidence.kind)
PROFILES_RIGHT = '"full", "nist-r1-10pct", or a table with profile = "confidence"'
CONFIDENCE_RIGHT = '{profile = "confidence", confidence = "0.99", residue = "0.001"}'
_FRACTION = re.compile(r"[01]?\.[0-9]{1,20}")


def _versioned(text: str) -> str:
    if not POLICY_ID_FORM.fullmatch(text):
        msg = f"is {quoted(text)}, not a name with a version"
        raise ValueError(msg)
    return text


def _pass(text: str) -> str:
    try:
        parse_pattern(text)
    except ValueError:
        msg = f"is {quoted(text)}, neither keyed nor bytes in hex"
        raise ValueError(msg) from None
    return text


def _ppm(given: Any) -> Any:
    """Parts per million, exact, of a fraction between 0 and 1: a text or a number."""
    right = '"0.99": above 0, below 1, at most six decimals'
    if isinstance(given, str) and _FRACTION.fullmatch(given):
        given = Decimal(given)
    if not isinstance(given, Decimal) or not given.is_finite() or not 0 < given < 1:
        raise fault("is not a fraction between 0 and 1", right)
    sign_digits_exponent = given.as_tuple()
    digits = "".join(map(str, sign_digits_exponent.digits)).rstrip("0")
    dropped = len(sign_digits_exponent.digits) - len(digits)
    shift = 6 + int(sign_digits_exponent.exponent) + dropped
    if shift < 0:
        raise fault("has more than six decimals", right)
    return int(digits) * 10**shift


def _line(given: Any) -> Any:
    """`"any"` is no line at all."""
    return None if given == "any" else given


VersionedId = Annotated[
    str,
    AfterValidator(_versioned),
    Right('a name in lower case and a version, such as "acme-clear/1"'),
]
Seconds = Annotated[
    int, Field(ge=1, le=SECONDS_MAX), Right(f"a whole number of seconds, 1 to {SECONDS_MAX}")
]
Celsius = Annotated[int, Field(ge=1, le=150), Right("whole degrees Celsius, 1 to 150")]
HealthCount = Annotated[
    Annotated[int, Field(ge=0, le=COUNT_MAX)] | None,
    BeforeValidator(_line),
    Right(f'a whole number, 0 to {COUNT_MAX}, or "any" for no line', '"any"'),
]


def _refuse_none(given: Any) -> Any:
    """No verification at all is a floor, not merely an unknown word."""
    says_no = isinstance(given, str) and given.strip().casefold() in floors.NO_VERIFICATION
    if says_no or given is False:
        flaw = floors.no_verification(())
        raise fault(flaw.message, flaw.right)
    return given


def _accepted(given: Any, info: ValidationInfo) -> Any:
    """The floor's own value and no other."""
    flaw = floors.accepted(str(info.field_name), given)
    if flaw is not None:
        raise fault(flaw.message, flaw.right)
    return given


Accepted = Annotated[Any, BeforeValidator(_accepted)]


class CategoryTable(Table):
    """`[[categories]]`: what one data category requires for one destination."""

    category: Annotated[
        DataCategory,
        Field(strict=False, description="Confidentiality of the data (FIPS 199)"),
        one_of(DataCategory),
    ]
    destination: Annotated[
        Destination,
        Field(
            strict=False,
            description="What becomes of the media: kept in the organization, leaving its control,"
            " or not used again",
        ),
        one_of(Destination),
    ]
    method: Annotated[
        Method,
        Field(
            strict=False,
            description="The method required then; at least the policy's own. `destroy` holds the"
            " drive for destruction",
        ),
        one_of(Method),
    ]


class OverwriteTable(Table):
    """`[overwrite]`: what the host writes."""

    scheme: Annotated[
        VersionedId,
        Field(
            description="Versioned name of this list of passes, printed on the certificate with"
            " each pass. Other passes need another name or version"
        ),
    ]
    passes: Annotated[
        tuple[Annotated[str, AfterValidator(_pass)], ...],
        Field(
            strict=False,
            min_length=1,
            max_length=PASSES_MAX,
            description="What each pass writes, in order: `keyed` (AES-256-CTR stream of the job's"
            " key) or bytes in hex repeated from the first byte of the drive",
        ),
        Right(f'1 to {PASSES_MAX} of "keyed" or 1 to 512 bytes in hex, such as "00" or "924924"'),
    ]


class ProfileTable(Table):
    """How much is read back."""

    profile: Annotated[
        Literal["full", "nist-r1-10pct", "confidence"],
        BeforeValidator(_refuse_none),
        Field(
            description="`full` reads every byte; `nist-r1-10pct` reads 1,000 strata, 2 places of"
            " 5 % in each (SP 800-88r1 4.7); `confidence` reads enough 1 MiB units"
        ),
        Right("one of " + ", ".join(f'"{name}"' for name in _PROFILES)),
    ]
    confidence: Annotated[
        int | None,
        BeforeValidator(_ppm),
        Field(description="For `confidence`: the probability to find the residue, 0.5 or more"),
        Right('a fraction as text or number, "0.5" to "0.999999"', "none"),
    ] = None
    residue: Annotated[
        int | None,
        BeforeValidator(_ppm),
        Field(description="For `confidence`: the share of units that may hold residue"),
        Right('a fraction as text or number, "0.000001" to "0.999999"', "none"),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: Any) -> Any:
        """`magnetic = "full"` is `magnetic = {profile = "full"}`."""
        _refuse_none(given)
        if isinstance(given, dict):
            return given
        if not isinstance(given, str):
            raise fault("is not a verification profile", PROFILES_RIGHT)
        if given == Confidence.kind:
            raise fault("needs the fractions beside it", CONFIDENCE_RIGHT)
        if given not in _PROFILES:
            raise fault(f"is {quoted(given)}, which is not known here", PROFILES_RIGHT)
        return {"profile": given}


class VerificationTable(Table):
    """`[verification]`: what is read back after the last pass."""

    magnetic: Annotated[
        ProfileTable,
        Field(description="Profile on magnetic media"),
        Right(PROFILES_RIGHT),
    ]
    other: Annotated[
        ProfileTable,
        Field(description="Profile on everything else, unknown media included"),
        Right(PROFILES_RIGHT),
    ]

    @model_validator(mode="before")
    @classmethod
    def _present(cls, given: Any) -> Any:
        return _refuse_none(given)


class AcceptanceTable(Table):
    """`[acceptance]`: repeats floors; every key has one allowed value and may be left out."""

    unwritten_sectors: Accepted = 0
    unreadable_sectors: Accepted = 0
    mismatched_sectors: Accepted = 0
    old_samples: Accepted = 0
    uncovered_units: Accepted = 0
    hidden_areas: Accepted = "covered"
    absent_drive_verification: Accepted = "full"
    changed_identity: Accepted = "refused"
    step_evidence: Accepted = "device"
    crypto_erase_conditions: Accepted = "proved"
    tcg_revert: Accepted = "with-second-technique"
    exceptions: Accepted = "named-person"


class BudgetsTable(Table):
    """`[budgets]`: limits of patience."""

    write_retries: Annotated[
        int,
        Field(ge=0, le=100, description="How often a failed write is tried again"),
        Right("a whole number, 0 to 100"),
    ] = _BUDGETS.write_retries
    retry_pause_s: Annotated[
        int,
        Field(ge=0, le=3600, description="Seconds between two tries"),
        Right("a whole number of seconds, 0 to 3600"),
    ] = _BUDGETS.retry_pause_s
    continue_past_unwritable: Annotated[
        bool,
        Field(
            description="Write the rest of a drive that can no longer pass, to leave less on it;"
            " otherwise the first unwritable sector ends the job and frees the bay"
        ),
        Right("true or false"),
    ] = _BUDGETS.continue_past_unwritable
    stall_s: Annotated[
        Seconds, Field(description="Seconds without any progress after which a job stops")
    ] = _BUDGETS.stall_s
    deadline_s: Annotated[Seconds, Field(description="Seconds a job may take in all")] = (
        _BUDGETS.deadline_s
    )
    absent_deadline_s: Annotated[
        Seconds,
        Field(description="Seconds a drive that was pulled may stay away before its job concludes"),
    ] = _BUDGETS.absent_deadline_s
    pause_above_celsius: Annotated[
        Celsius, Field(description="Above this temperature the job pauses")
    ] = _BUDGETS.pause_above_celsius
    continue_below_celsius: Annotated[
        Celsius, Field(description="Below this temperature it goes on; less than the one above")
    ] = _BUDGETS.continue_below_celsius
    rate_limit_bytes_per_s: Annotated[
        int,
        Field(ge=0, le=RATE_MAX, description="Most bytes per second for one drive; 0 is no limit"),
        Right("a whole number of bytes per second, 0 for no limit"),
    ] = _BUDGETS.rate_limit_bytes_per_s
    errors_max: Annotated[
        int,
        Field(
            ge=0,
            le=COUNT_MAX,
            description="Most errors of one session before the drive is given up: sectors written"
            " or read only after a retry or rewriting, and sectors that could not be; 0 is no"
            " limit",
        ),
        Right(f"a whole number, 0 to {COUNT_MAX}, 0 for no limit"),
    ] = _BUDGETS.errors_max
    slow_below_bytes_per_s: Annotated[
        int,
        Field(
            ge=0,
            le=RATE_MAX,
            description="The drive is given up when over a whole window of `slow_s` it moved fewer"
            " bytes per second. Under a rate limit no more than half of that limit is asked;"
            " 0 is no minimum",
        ),
        Right("a whole number of bytes per second, 0 for no minimum"),
    ] = _BUDGETS.slow_below_bytes_per_s
    slow_s: Annotated[
        int,
        Field(
            ge=SLOW_S_MIN,
            le=SECONDS_MAX,
            description="That window: seconds of writing and reading in one session, pauses not"
            " counted; more than all retries of one sector wait",
        ),
        Right(f"a whole number of seconds, {SLOW_S_MIN} to {SECONDS_MAX}"),
    ] = _BUDGETS.slow_s


class HealthTable(Table):
    """`[health]`: worst health released without remark; beyond it the verdict has an exception."""

    reallocated_sectors_max: Annotated[
        HealthCount, Field(description="Most reallocated sectors")
    ] = _HEALTH.reallocated_sectors_max
    pending_sectors_max: Annotated[
        HealthCount, Field(description="Most sectors still pending at the end")
    ] = _HEALTH.pending_sectors_max
    media_errors_max: Annotated[
        HealthCount, Field(description="Most media errors the drive counts")
    ] = _HEALTH.media_errors_max
    percentage_used_max: Annotated[
        HealthCount, Field(description="Most wear in percent of the drive's rated life")
    ] = _HEALTH.percentage_used_max


class PolicyTable(Table):
    """A policy file as a whole."""

    schema_name: Annotated[
        Literal["nullbay.policy/1"],
        Field(alias="schema", description="Name and version of this form"),
        Right(f'"{SCHEMA}"'),
    ]
    policy_id: Annotated[
        VersionedId,
        Field(
            alias="id",
            description="Name and version. Any change needs a new version: plans and certificates"
            " carry the hash",
        ),
    ]
    title: Annotated[
        GivenText, Field(description="What people read; may not claim Purge for a Clear")
    ]
    method: Annotated[
        Method,
        Field(
            strict=False,
            description="The least required of any drive; some allowed technique has to reach it",
        ),
        Right('"clear" or "purge"'),
    ]
    techniques: Annotated[
        tuple[Annotated[Technique, Field(strict=False)], ...],
        Field(
            strict=False,
            min_length=1,
            max_length=len(Technique),
            description="Techniques allowed, the preferred one first, each once",
        ),
        Right("a list of " + one_of(Technique).text),
    ]
    final_state: Annotated[
        FinalState,
        Field(
            strict=False,
            description="What is on the drive when it leaves: `keyed` what the last pass of the"
            " method left, `zero` one more, verified pass of zeros, `deallocated` a recorded"
            " deallocate that is no part of the method",
        ),
        one_of(FinalState),
    ] = FinalState.KEYED
    unattended: Annotated[
        bool,
        Field(description="Whether drives in wipe bays may start after a countdown, unasked"),
        Right("true or false"),
    ] = False
    two_person_approval: Annotated[
        bool,
        Field(description="Whether two different people have to approve each plan"),
        Right("true or false"),
    ] = False
    fallback: Annotated[
        VersionedId | None,
        Field(
            description="Policy whose plan may follow a failed one, explicitly; the certificate"
            " shows both attempts"
        ),
        Right("the id of a known policy with its version", "none"),
    ] = None
    categories: Annotated[
        tuple[CategoryTable, ...],
        Field(
            strict=False,
            max_length=len(DataCategory) * len(Destination),
            description="Category rules",
        ),
    ] = ()
    overwrite: OverwriteTable | None = None
    verification: VerificationTable
    acceptance: AcceptanceTable = AcceptanceTable()
    budgets: BudgetsTable = BudgetsTable()
    health: HealthTable = HealthTable()
