"""How many trials until a chance is small enough: exact, so that every reader gets the same number.

Floating-point logarithms differ in their last digit between machines, and a sample that is one
unit larger lies elsewhere on the drive.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, localcontext
from fractions import Fraction

# (a/b)^n equals a fraction with a denominator up to 10^6 only for n below 20; up to here powers are
# compared as integers, beyond it 60 digits decide.
_EXACT_UP_TO = 64
_DIGITS = 60


def trials_until(miss: Fraction, allowed: Fraction) -> int:
    """The smallest n of at least 1 with miss^n <= allowed; both strictly between 0 and 1.

    `allowed` has a denominator of at most 10^6. Raises ValueError outside of that.
    """
    if not (0 < miss < 1 and 0 < allowed < 1 and allowed.denominator <= 10**6):
        msg = f"not two chances between 0 and 1: {miss}, {allowed}"
        raise ValueError(msg)
    power = Fraction(1)
    for count in range(1, _EXACT_UP_TO + 1):
        power *= miss
        if power <= allowed:
            return count
    with localcontext(prec=_DIGITS):
        needed = _ln(1 / allowed) / _ln(1 / miss)
    return int(needed.to_integral_value(ROUND_CEILING))


def _ln(value: Fraction) -> Decimal:
    return (Decimal(value.numerator) / Decimal(value.denominator)).ln()
