"""Types of options that several commands share."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from recredit.errors import user_path
from recredit.studies.variants import Style


def _whole(_: Any, tokens: Any) -> int:
    given = tokens[0].value
    with contextlib.suppress(ValueError):
        if float(given).is_integer():  # cyclopts' own conversion would round 2.5 to 2, and refuse 1e6
            return int(float(given))
    raise ValueError(f'"{given}" is not a whole number.')


Count = Annotated[int, Parameter(converter=_whole)]
FilePath = Annotated[Path, Parameter(converter=lambda _, tokens: user_path(tokens[0].value))]
Many = Parameter(consume_multiple=True, negative=(), show_default=False)
FigureStyle = Annotated[
    Style,
    Parameter(help="How figures look: as on a screen, or as on paper in a journal, in PNG, SVG and PDF (docs/figures.md)."),
]
Live = Annotated[bool, Parameter(negative=(), show_default=False)]
