"""How figures look: on a screen, or in the columns of a journal."""

import contextlib
from collections.abc import Iterator
from typing import Any

from matplotlib import rc_context, rcParams

from recredit.studies.variants import Style

SINGLE, DOUBLE = 3.4, 7.0  # inches: the width of one and of two columns, which most journals' columns are near
# matplotlib's own settings. Of a figure's sizes the first is its width, the second the height of a panel; the label of a
# figure is its caption.
SCREEN: dict[Any, Any] = {
    "figure.figsize": (7.6, 3.6),
    "font.size": 10,
    "axes.titlesize": 11,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "legend.handlelength": 2.6,
    "figure.titlesize": 11,
    "figure.labelsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "savefig.dpi": 200,
}
PAPER: dict[Any, Any] = {
    "figure.figsize": (SINGLE, 2.3),
    "font.size": 8,
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans", "sans-serif"],
    "axes.titlesize": 8,
    "axes.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.handlelength": 2.6,
    "legend.labelspacing": 0.3,
    "legend.columnspacing": 1.2,
    "figure.titlesize": 8,
    "figure.labelsize": 7,
    "lines.linewidth": 0.9,
    "lines.markersize": 2.5,
    "savefig.dpi": 300,
} | {
    f"{axis}tick.{which}.{what}": value
    for axis in "xy"
    for which, what, value in [("major", "width", 0.5), ("minor", "width", 0.4), ("major", "size", 2.5), ("minor", "size", 1.5)]
}
SMALLEST = 7  # points: of the names of levels


@contextlib.contextmanager
def styled(style: Style) -> Iterator[bool]:
    """Draw in a style; gives whether it is for paper, where title and caption are set beside a figure, not in it."""
    chosen: Any = PAPER if style == "paper" else SCREEN  # names that matplotlib's stubs list one by one
    with rc_context(chosen):
        yield style == "paper"


def letters(width: float, size: float) -> int:
    """How many letters of a size in points a line of so many inches holds."""
    return int(1.82 * 72 * width / size)


def size_of(key: Any) -> float:
    """A size in points that the style has: `size_of("legend.fontsize")`."""
    named: Any = rcParams
    return float(named[key])
