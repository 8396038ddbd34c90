"""Who is at the console: badge and PIN to a person, or a refusal that says why.

A badge is a secret text whose SHA-256 the configuration holds; all of them are compared, in
constant time, whichever is meant. A badge alone tells who somebody is (who loaded a bay); to log in
takes the PIN. Wrong PINs are counted per person in memory and lock for a while.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from nullbay.agent.intake.refusal import Refusal
from nullbay.config.person_pin import agrees, scrypt_text
from nullbay.config.roles import Act
from nullbay.config.settings import Operator, Settings
from nullbay.domain.clock import Clock
from nullbay.domain.lot import Person

TRIES_MAX = 5
LOCKED_S = 300
TOKEN_MAX = 512


@dataclass(slots=True)
class _Tries:
    """Wrong PINs since the last right one, and until when (boot time) the person is locked."""

    wrong: int = 0
    locked_until: float = 0.0


class People:
    """Everybody whom the configuration knows. One for the whole station: it counts wrong PINs."""

    def __init__(self, operators: Iterable[Operator], clock: Clock) -> None:
        self._operators = tuple(operators)
        self._clock = clock
        self._tries: dict[str, _Tries] = {}
        self._nobody = ""

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> People:
        """The people of a configuration."""
        return cls(settings.operators, clock)

    def identify_badge(self, token: str) -> Operator | Refusal:
        """Whose badge it is, without a PIN: enough to name who loaded a bay, not to approve.

        Refused: person.unknown-badge, person.qualification-ended.
        """
        operator = self._holder(token)
        if operator is None:
            return _unknown()
        return self._qualified(operator) or operator

    def login(self, token: str, pin: str) -> Operator | Refusal:
        """Badge and PIN together. Takes a tenth of a second of CPU: call it off the event loop.

        Refused: person.unknown-badge, person.no-pin, person.locked, person.wrong-pin,
        person.qualification-ended. The qualification is told only to who knows the PIN.
        """
        operator = self._holder(token)
        if operator is None:
            agrees(pin, self._decoy())
            return _unknown()
        if operator.pin_scrypt is None:
            return Refusal(
                "person.no-pin",
                "this person has no PIN and cannot log in here",
                "Let an administrator give one with `nullbay config pin`",
            )
        return self._with_pin(operator, operator.pin_scrypt, pin)

    def unlock(self, operator_id: str, pin: str) -> Operator | Refusal:
        """The PIN again after the idle lock, for a person who is logged in. Refused as `login`."""
        operator = self.person(operator_id)
        if operator is None or operator.pin_scrypt is None:
            return _unknown()
        return self._with_pin(operator, operator.pin_scrypt, pin)

    def by_bearer(self, token: str) -> Operator | Refusal:
        """Who a script acts for. A badge that is followed by a PIN is no bearer token.

        Refused: person.unknown-badge, person.pin-needed, person.qualification-ended.
        """
        return self.by_digest(_digest(token))

    def by_digest(self, sha256: bytes) -> Operator | Refusal:
        """As `by_bearer`, by the SHA-256 of the token."""
        operator = self._of(sha256)
        if operator is None:
            return _unknown()
        if operator.pin_scrypt is not None:
            return Refusal(
                "person.pin-needed",
                "this token is a badge that is used with a PIN",
                "Give the script an [[operator]] of its own, without pin_scrypt",
            )
        return self._qualified(operator) or operator

    def person(self, operator_id: str) -> Operator | None:
        """The person of that id, None where the configuration has none."""
        return next((one for one in self._operators if one.operator_id == operator_id), None)

    def allowed(self, operator_id: str, act: Act) -> Operator | Refusal:
        """The person, if role and qualification allow that now.

        Refused: person.unknown, person.role, person.qualification-ended.
        """
        operator = self.person(operator_id)
        if operator is None:
            return Refusal("person.unknown", "nobody of that id is known any more", "Log in again")
        if not operator.may(act):
            text = f"a {operator.role.value} may not {_WORDS[act]}"
            return Refusal("person.role", text, "Ask somebody who may")
        return self._qualified(operator) or operator

    def locked_for_s(self, operator_id: str) -> int:
        """Seconds until that person may try again; 0 where nothing is locked."""
        tries = self._tries.get(operator_id)
        left = 0.0 if tries is None else tries.locked_until - self._clock.boottime()
        return max(0, -int(-left // 1))

    def _with_pin(self, operator: Operator, pin_scrypt: str, pin: str) -> Operator | Refusal:
        if seconds := self.locked_for_s(operator.operator_id):
            return _locked(seconds)
        tries = self._tries.setdefault(operator.operator_id, _Tries())
        # Counted before it is computed: tries side by side in threads are tries too.
        tries.wrong += 1
        if tries.wrong >= TRIES_MAX:
            tries.locked_until = self._clock.boottime() + LOCKED_S
        if not agrees(pin, pin_scrypt):
            if tries.wrong < TRIES_MAX:
                left = TRIES_MAX - tries.wrong
                text = f"wrong PIN; {left} {'try' if left == 1 else 'tries'} left"
                return Refusal("person.wrong-pin", text, "Try again")
            tries.wrong = 0
            return _locked(LOCKED_S)
        self._tries.pop(operator.operator_id, None)
        return self._qualified(operator) or operator

    def _holder(self, token: str) -> Operator | None:
        return self._of(_digest(token))

    def _of(self, sha256: bytes) -> Operator | None:
        """Whose digest it is; every one is compared, so that time tells nothing."""
        digest = sha256.hex()
        found = None
        for operator in self._operators:
            if hmac.compare_digest(operator.token_sha256 or "", digest):
                found = operator
        return found

    def _qualified(self, operator: Operator) -> Refusal | None:
        """None while it lasts; by the station's own clock, in UTC."""
        last = operator.qualified_until
        if last is None or date.fromisoformat(self._clock.now().at[:10]) <= last:
            return None
        return Refusal(
            "person.qualification-ended",
            f"the qualification of {operator.operator_id} ended on {last.isoformat()}",
            "Renew it and its date in the configuration",
        )

    def _decoy(self) -> str:
        """A PIN nobody has: an unknown badge takes as long as a known one."""
        if not self._nobody:
            self._nobody = scrypt_text("nobody")
        return self._nobody


def two_person(first: Operator, second: Operator) -> Refusal | None:
    """Whether two people may arm a plan together; None where they may.

    Two ids; the first may approve, the second may approve or concur.
    """
    if first.operator_id == second.operator_id:
        text = "the same person cannot approve twice"
        return Refusal("person.same", text, "Have a second person approve")
    if not first.may(Act.APPROVE) or not second.may(Act.CONCUR):
        text = "one of the two has to be allowed to approve, the other to approve or concur"
        return Refusal("person.role", text, "Ask somebody who may")
    return None


def enough_approvals(people: Iterable[Person], needed: int) -> bool:
    """Whether that many different ids are among them: two-person approval means two ids."""
    return len({person.person_id for person in people if person.person_id}) >= needed


def is_idle(last_touch_s: float, now_s: float, idle_lock_s: int) -> bool:
    """Whether a session has to be locked; both moments in boot time."""
    return now_s - last_touch_s >= idle_lock_s


_WORDS = {
    Act.LOOK: "look",
    Act.SCAN: "scan drives",
    Act.LOTS: "open or close lots",
    Act.APPROVE: "approve",
    Act.CONCUR: "concur",
    Act.ABORT: "abort",
    Act.VERIFY: "verify",
    Act.VALIDATE: "validate",
}


def _digest(token: str) -> bytes:
    return hashlib.sha256(token[: TOKEN_MAX + 1].encode("utf-8", "surrogatepass")).digest()


def _unknown() -> Refusal:
    return Refusal("person.unknown-badge", "nobody here has this badge", "Scan it again")


def _locked(seconds: int) -> Refusal:
    text = f"too many wrong PINs; locked for {seconds} s"
    return Refusal("person.locked", text, "Wait, or ask an administrator")
