"""What a setting may be, in words: from its type and from the check that it passes."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, get_args, get_origin

from recredit.errors import NameOrFile
from recredit.registry import BLOCKS, NAMED, block_name

Limits = Mapping[str, Any]
"""Of a number: least, above, below and most; of a name: the names that are `allowed`."""


def allowed(kind: Any, limits: Limits) -> str:
    """What a setting of this type and within these limits may be."""
    choices = [each for each in get_args(kind) if each is not type(None)]
    if type(None) in get_args(kind):
        return allowed(choices[0], limits) + ", or left out"
    if kind in BLOCKS:
        return in_words([*BLOCKS[kind][1]])
    if kind in NAMED:
        return in_words(NAMED[kind].names)
    if kind == NameOrFile:
        return in_words([*limits["allowed"], "the path of a file"])
    if get_origin(kind) is Annotated:
        return get_args(kind)[1]
    if get_origin(kind) is Literal:
        return in_words(choices)
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _within(limits)
    return {str: "words", inspect.Parameter.empty: "anything"}.get(kind) or inspect.formatannotation(kind)


def _within(limits: Limits) -> str:
    least, above, below, most = (limits.get(each) for each in ("least", "above", "below", "most"))
    if least is not None and most is not None:
        return f" from {least:,g} to {most:,g}"
    told = [("at least", least), ("above", above), ("below", below), ("at most", most)]
    words = " and ".join(f"{what} {limit:,g}" for what, limit in told if limit is not None)
    return f" {'of ' * words.startswith('at')}{words}".rstrip()


def checks(kind: Any) -> dict[str, Limits]:
    """The limits of a class's fields, by the checks that convert what they are given."""
    found = {}
    for field in dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ():
        check = field.metadata.get("converter")
        if isinstance(check, partial):
            least = {"least": 1} if "count" in check.func.__name__ and "least" not in check.keywords else {}
            found[field.name] = least | check.keywords
    return found


def typed(kind: Any, value: Any) -> str:
    """A default as one would type it; "" for none that could be."""
    if value is inspect.Parameter.empty:
        return ""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(block_name(kind, value))


def in_words(names: list[Any]) -> str:
    """Names as a sentence has them: "a, b or c"."""
    *most, last = map(str, names)
    return f"{', '.join(most)} or {last}" if most else last


def parameter_limits(make_it: Callable[..., Any]) -> dict[str, Limits]:
    """The limits of what makes something: a class's fields, or those of the class that a function says it returns."""
    return checks(make_it if inspect.isclass(make_it) else inspect.signature(make_it).return_annotation)
