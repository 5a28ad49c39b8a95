"""The choices that the command line offers and the experiments know; apart, so that help needs no JAX."""

from typing import Literal

Variant = Literal["written", "published"]
Scale = Literal["paper", "quick"]
ListFormat = Literal["table", "csv", "json"]
Format = Literal["table", "json", "html", "markdown", "latex"]
