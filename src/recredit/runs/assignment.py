"""PATH=VALUE, as commands take settings."""

import contextlib
import tomllib
from typing import Any

Keys = tuple[str, ...]


def parse(setting: str, like: str = "rule.window=20") -> tuple[Keys, Any]:
    """The path and the value of "rule.jacobian.rate=0.01": names with dots between, and one TOML value or a bare word.

    Raises ValueError, with an example of what it should be `like`, for what is no setting.
    """
    path, equals, text = setting.partition("=")
    keys = tuple(key.strip() for key in path.split("."))
    if not equals or not all(keys) or not text.strip() or not setting.isprintable():
        raise ValueError(f"{setting!r} is not a setting; write path=value, as in {like}.")
    try:
        table = tomllib.loads(f"value = [{text}]")  # in brackets, so that a comment or a second value does not go unnoticed
    except tomllib.TOMLDecodeError:
        table = {"value": []}
    value = table["value"][0] if len(table["value"]) == 1 else text.strip()
    with contextlib.suppress(ValueError, TypeError):
        value = float(value) if value == text.strip() else value  # .5 and 1. are numbers, though not TOML's
    if isinstance(value, dict):
        raise ValueError(f'"{setting}" gives several settings at once; write each by itself, as in {like}.')
    return keys[:-1] if len(keys) > 1 and keys[-1] == "name" else keys, value  # rule.name=rflo is rule=rflo


def parse_record(given: str) -> tuple[Keys, Any]:
    """The path and the value of "r:every=100", which is record.r=100, or of "W:every=bin".

    Raises ValueError, with an example of what it should be like, for what is neither.
    """
    name, _, when = given.partition(":")
    path, equals, every = when.partition("=")
    if path.strip() != "every" or not equals or not name.strip() or not every.strip():
        raise ValueError(f"{given!r} does not say what to record, and how often; write r:every=100, or W:every=bin.")
    return parse(f"record.{name.strip()}={every}", like="r:every=100")
