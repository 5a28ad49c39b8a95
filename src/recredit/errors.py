"""Checks at the boundary: one sentence that says what was given, what is allowed, and the nearest valid name."""

import difflib
import math
import os
from collections.abc import Iterable
from pathlib import Path


def nearest(name: str, allowed: Iterable[str]) -> str:
    """' Did you mean "x"?' for the closest allowed name, or ''."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""


def check_choice(what: str, given: object, allowed: Iterable[str]) -> None:
    """Raise ValueError unless `given` is one of `allowed`."""
    allowed = list(allowed)
    if given not in allowed:
        raise ValueError(f'{what} "{given}" is unknown; allowed: {", ".join(allowed)}.{nearest(str(given), allowed)}')


MOST = 2**31 - 1  # what a 32-bit step counter holds


def check_count(what: str, given: object, least: int = 1) -> None:
    """Raise ValueError unless `given` is a whole number of at least `least`, and one that 32 bits hold."""
    if isinstance(given, int) and given > MOST:
        raise ValueError(f"{what} must be at most {MOST:,}, not {given:,}.")
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, not {given!r}.")


def check_range(
    what: str, given: float, *, above: float | None = None, least: float | None = None, most: float = math.inf
) -> None:
    """Raise ValueError unless `given` is a finite number with above < given (or least <= given) <= most."""
    low, bracket = (above, "(") if above is not None else (least if least is not None else -math.inf, "[")
    number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    if not number or given > most or given < low or (bracket == "(" and given == low):
        end = "]" if math.isfinite(most) else ")"
        raise ValueError(f"{what} must lie in {bracket}{low:g}, {most:g}{end}, not {given!r}.")


def user_path(given: str | Path) -> Path:
    """A path as a user writes it, with ~ for the home folder. Raises ValueError for an empty one."""
    if not str(given):
        raise ValueError('a path must not be empty; the current folder is ".".')
    return Path(os.path.expanduser(given))
