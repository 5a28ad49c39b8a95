"""Checks at the boundary: one sentence that says what was given, what is allowed, and the nearest valid name."""

import dataclasses
import difflib
import errno
import inspect
import math
import numbers
import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

MOST = 2**31 - 1  # what a 32-bit step counter holds
MOST_SEEDS = 100_000
LARGEST, SMALLEST = 3.4028235e38, 1.1754944e-38  # 32-bit numbers
T = TypeVar("T")
File = Annotated[str, "the path of a file"]  # a setting of this type: in a TOML file it is relative to that file's folder
NameOrFile = Annotated[str, "a name, or the path of a file"]


def nearest(name: object, allowed: Iterable[str], cutoff: float = 0.5) -> str:
    """' Did you mean "x"?' for the closest allowed name, ignoring case and dashes, or the one with these initials, or ''."""
    written = {_alike(each): each for each in allowed}
    initials = {"".join(word[:1] for word in key.split("_")): key for key in written}
    close = difflib.get_close_matches(_alike(str(name)[:100]), written, n=1, cutoff=cutoff)
    found = close[0] if close else initials.get(_alike(str(name)))
    return f' Did you mean "{written[found]}"?' if found else ""


def _alike(name: str) -> str:
    return name.casefold().replace("-", "_")


def beside(path: str | Path) -> str:
    """' Did you mean "x"?' for the file of the same kind, or folder, whose name is nearest to the path of none, or ''."""
    path = Path(os.path.expanduser(path))
    try:
        there = [each.name for each in path.parent.iterdir() if _extension(each) == _extension(path)]
        return "" if path.exists() else nearest(path.name, there)
    except OSError:  # there is no such folder either
        return ""


def _extension(path: Path) -> str:
    """What follows the last dot of a name, unless that is part of a number, as in the folder add-0.5."""
    return path.suffix if path.suffix[1:].isalpha() else ""


def unreadable(what: str, path: str | Path, error: OSError) -> ValueError:
    """The error to raise where a file cannot be read: why, and the nearest one there."""
    return ValueError(f"{what} cannot be read: {error.strerror or error}.{beside(path)}")


def brief(given: object) -> str:
    """What was given, as a message shows it: on one line, and not at length."""
    if inspect.isclass(given) or inspect.isroutine(given):
        return f"the {'class' if inspect.isclass(given) else 'function'} {given.__name__}"
    try:
        text = " ".join(repr(given).split())
    except Exception:  # a number with too many digits, or an object whose own repr fails
        text = f"this {type(given).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def plain(given: Any) -> Any:
    """A Python number in place of a NumPy or JAX scalar, an array without axes or another real number; anything else as it is.

    What NumPy has masked is not a number, and a number that no float holds is infinite.
    """
    if getattr(given, "ndim", None) == 0 and hasattr(given, "item") and not getattr(given, "_mask", False):
        try:
            given = given.item()
        except TypeError:  # a value that JAX traces has none yet
            return given
    if not isinstance(given, numbers.Real) or isinstance(given, int | float):
        return given
    try:
        return float(given)
    except OverflowError:
        return math.inf if abs(given) == given else -math.inf


def check_choice(what: str, given: object, allowed: Iterable[object]) -> None:
    """Raise ValueError unless `given` is one of `allowed`: names, as a rule, or numbers."""
    choices = list(allowed)
    if not any(isinstance(given, type(each)) and given == each for each in choices):
        allowed = [str(each) for each in choices]
        shown, near = (f'"{brief(given)[1:-1]}"', nearest(given, allowed)) if isinstance(given, str) else (brief(given), "")
        raise ValueError(f"{what} {shown} is unknown; allowed: {', '.join(allowed)}.{near}")


def check_count(what: str, given: object, least: int = 1, most: int = MOST) -> int:
    """The whole number that is given, as an int: any real number without a fraction, NumPy's, JAX's and 1e6 too.

    Raises ValueError unless it lies between `least` and `most`.
    """
    number = plain(given)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, not {brief(number)}.")
    if number > most:
        raise ValueError(f"{what} must be at most {most:,}, not {brief(number)}.")
    return number


def check_optional_count(what: str, given: object) -> int | None:
    """`check_count` of what may also be None."""
    return None if given is None else check_count(what, given)


def check_range(
    what: str, given: object, *, above: float | None = None, least: float | None = None, most: float = math.inf
) -> float:
    """The real number that is given, as a float: of Python's, NumPy's or JAX's kind.

    Raises ValueError unless it is finite, in 32 bits too, and above < given (or least <= given) <= most.
    """
    number = plain(given)
    low, bracket = (above + SMALLEST, "(") if above is not None else (-math.inf if least is None else least, "[")
    if not isinstance(number, int | float) or isinstance(number, bool) or not low <= number <= most or abs(number) == math.inf:
        end = "]" if math.isfinite(most) else ")"
        raise ValueError(
            f"{what} must lie in {bracket}{low if above is None else above:g}, {most:g}{end}, not {brief(number)}."
        )
    if abs(number) > LARGEST:
        raise ValueError(f"{what} must be a number that fits in 32 bits, at most {LARGEST:.2g}, not {brief(number)}.")
    return float(number)


def check_optional_range(what: str, given: object, **limits: float) -> float | None:
    """`check_range` of what may also be None."""
    return None if given is None else check_range(what, given, **limits)


def check_instance(what: str, given: T, kind: type) -> T:
    """What is given. Raises TypeError unless it is an instance of `kind`."""
    if isinstance(given, kind):
        return given
    raise TypeError(f"{what} must be {_article(kind.__name__)}, not {brief(given)}{way_out(given, kind)}.")


def check_digest(whose: str, data: str | None, expected: Any) -> None:
    """Raise ValueError if a fingerprint is expected and the data now have another, TypeError if it is not text."""
    if expected is not None and check_instance(f"the digest of {whose}", expected, str) != data:
        raise ValueError(f"{whose} has changed: its digest is {data}, not {brief(expected)}.")


def way_out(given: Any, kind: type, *makers: Any) -> str:
    """'; write RFLO()' where a class, or a function that makes what is asked for, is given instead of what it makes."""
    forms = [form for maker in makers for form in (maker, inspect.unwrap(maker))]
    makes = (inspect.isclass(given) and issubclass(given, kind)) or any(given is form for form in forms)
    return f"; write {given.__name__}(...)" if makes else ""


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIOU' else 'a'} {noun}"


def check_fields(module: Any) -> None:
    """Check a dataclass's fields that are choices, truth values or modules themselves, or None, against their annotations.

    Raises ValueError for an unknown choice, TypeError for anything else. Numbers have checks of their own.
    """
    for field in dataclasses.fields(module):
        what, given = f"{type(module).__name__}'s {field.name}", getattr(module, field.name)
        is_union = get_origin(field.type) in (Union, UnionType)
        kind, *others = [each for each in get_args(field.type) if each is not NoneType] if is_union else [field.type]
        if others or (given is None and is_union and NoneType in get_args(field.type)):
            continue
        if get_origin(kind) is Literal:
            check_choice(what, given, get_args(kind))
        elif kind is bool or (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            check_instance(what, given, kind)


def check_seeds(given: Any) -> list[int]:
    """The seeds meant by a count (seeds 0, 1, ...) or by any sequence or array of seeds.

    Raises ValueError unless they are one to 100,000 different whole numbers of at least 0 and below 2^31.
    """
    number = plain(given)
    if isinstance(number, numbers.Number) or number is None or getattr(number, "ndim", None) == 0:
        return list(range(check_count("the number of seeds", number, most=MOST_SEEDS)))
    if isinstance(number, str | bytes | Mapping) or not hasattr(number, "__len__"):
        raise ValueError(f"seeds must be a count, or the seeds themselves in a list, not {brief(given)}.")
    check_count("the number of seeds", len(number), most=MOST_SEEDS)
    seeds = [check_count("a seed", seed, 0) for seed in number]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be different whole numbers of at least 0 and below 2^31, not {brief(seeds)}.")
    return seeds


def user_path(given: str | Path) -> Path:
    """A path as a user writes it, with ~ for the home folder. Raises ValueError for one that no file can have,
    TypeError for what is not a path."""
    if not isinstance(given, str | Path):
        raise TypeError(f"a path must be text or a pathlib.Path, not {brief(given)}.")
    if not str(given):
        raise ValueError('a path must not be empty; the current folder is ".".')
    path = Path(os.path.expanduser(given))
    try:
        path.lstat()
    except (OSError, ValueError) as error:  # ValueError: a zero byte, or characters that no encoding holds
        if getattr(error, "errno", None) in (None, errno.ENAMETOOLONG):
            raise ValueError(f"no file can have the path {brief(str(given))}: {getattr(error, 'strerror', error)}.") from None
    if unprintable := [character for character in str(given) if unicodedata.category(character) in ("Cc", "Zl", "Zp")]:
        raise ValueError(
            f"a path must hold no line breaks or control characters, and {brief(str(given))} has {unprintable[0]!r}."
        )
    return path


def real_file(path: Path) -> Path:
    """The path of a file to be read. Raises OSError if there is none, or for what might block for ever: a pipe, a device."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is not a file but a pipe, a socket or a device")
    return path
