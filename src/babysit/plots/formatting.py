"""Number formatting for captions: few digits, thousands separators, scientific notation for small values."""

from __future__ import annotations

import math


def number(value: float, digits: int = 3) -> str:
    """Format the value with `digits` significant digits: 0.0813, 12,400, 3.2e-6, NaN."""
    value = float(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinite" if value > 0 else "minus infinite"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    if 1e-3 <= abs(value) < 1e6:
        exponent = math.floor(math.log10(abs(value)))
        written = f"{value:,.{max(0, digits - 1 - exponent)}f}"
        return written.rstrip("0").rstrip(".") if "." in written else written
    mantissa, exponent_text = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent_text)}"


def percent(share: float) -> str:
    """Format a share as a percentage with the digits it needs: 97.8 %, 0.41 %."""
    value = 100 * float(share)
    if not math.isfinite(value):
        return number(value)
    if abs(value) >= 1e6:
        return f"{number(value)} %"
    return f"{value:.2f} %" if 0 < abs(value) < 1 else f"{value:.1f} %".replace(".0 %", " %")


def count(amount: int, noun: str) -> str:
    """Format an amount with its noun: 1 step, 1,200 steps."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"
