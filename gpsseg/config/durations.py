"""Durations: as they are typed, and as they are said."""

from __future__ import annotations

import math
import re

from gpsseg.errors import UserError, shown

NUMBER = r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?"
NAMES = "h(?:ours?)?", "m(?:in(?:utes?)?)?", "s(?:ec(?:onds?)?)?"
TYPED = re.compile(" ?".join(f"(?:{NUMBER}{name})?" for name in NAMES))
UNITS = (3600, 60, 1)


def seconds_of(text: str, flag: str) -> int:
    """Seconds of a duration as it is typed.

    Raises:
        UserError: it is none, or zero; the text names ``flag``.

    >>> [seconds_of(text, "--time-limit") for text in ("1h30m", "1.5h", "90 min", "90s")]
    [5400, 5400, 5400, 90]
    """
    found = TYPED.fullmatch(text.strip().lower())
    numbers = [float(number or 0) for number in found.groups()] if found else []
    seconds = round(sum(number * unit for number, unit in zip(numbers, UNITS, strict=False)))
    if not seconds:
        raise UserError(
            f"{flag} {shown(text)} is no duration. Write hours, minutes or seconds with their "
            "unit, such as 30m, 90s or 1h30m."
        )
    return seconds


def about(seconds: float) -> str:
    """A duration as one would say it, with its word of caution.

    >>> about(0.4), about(7.2), about(43), about(118), about(720)
    ('about 1 s', 'about 7 s', 'about 45 s', 'about 2 minutes', 'about 12 minutes')
    >>> about(100), about(145), about(3 * 3600 + 1500), about(80 * 3600)
    ('about 100 s', 'about 2.5 minutes', 'about 3.4 hours', 'about 3 days')
    """
    if seconds < 20:
        return f"about {max(1, round(seconds))} s"
    if seconds < 113:
        return f"about {5 * round(seconds / 5)} s"
    if seconds < 9.75 * 60:
        return f"about {round(seconds / 30) / 2:g} minutes"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} minutes"
    if seconds < 48 * 3600:
        return f"about {seconds / 3600:.2g} hours"
    return f"about {round(seconds / 86400)} days"


def typed_up(seconds: float) -> str:
    """The next duration above that one would type.

    >>> typed_up(41), typed_up(61), typed_up(119), typed_up(20 * 60 + 1), typed_up(3 * 3600 + 1)
    ('45s', '75s', '2m', '21m', '3h1m')
    """
    if seconds <= 115:
        up = 5 * math.ceil(seconds / 5) if seconds < 60 else 15 * math.ceil(seconds / 15)
        return f"{up}s" if up % 60 else f"{up // 60}m"
    minutes = math.ceil(seconds / 60)
    hours, rest = divmod(minutes, 60) if minutes > 90 else (0, minutes)
    return (f"{hours}h" if hours else "") + (f"{rest}m" if rest or not hours else "")
