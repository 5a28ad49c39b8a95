"""The choices that the command line offers and the experiments know; apart, so that help needs no JAX."""

from pathlib import Path
from typing import Literal

Variant = Literal["written", "published"]
Scale = Literal["paper", "quick"]
Style = Literal["screen", "paper"]
ListFormat = Literal["table", "csv", "json"]
Format = Literal["table", "json", "html", "markdown", "latex"]


def pictures(names: tuple[str, ...], style: Style) -> tuple[str, ...]:
    """The files of figures that are called so on the screen; in the style "paper" each is written as PNG, SVG and PDF."""
    if style == "screen":
        return names
    return tuple(dict.fromkeys(f"{Path(name).stem}.{kind}" for name in names for kind in ("png", "svg", "pdf")))
