"""The family tree of learning rules as a picture: boxes by what is kept and by facing, arrows to what rules become."""

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch

from recredit.audit.account.symbolic import order
from recredit.report.figures import COLOURS, save
from recredit.report.styles import styled
from recredit.studies.family import Member
from recredit.studies.reductions import Reduction

COLUMNS = {"none": 0, "one step": 0, "past-facing": 0, "mixed": 4, "future-facing": 4}
SPAN = {0: 4, 4: 1}
HEADS = {
    0: "past-facing: the loss of this step, activity of the past",
    4: "future-facing: the activity of\nthis step, losses of the future",
}
TAGS = {"none": "no gradient", "one step": "this step alone", "mixed": "mixed: losses and activity of a window"}
FILLS = {"exact": "#cfe3f3", "exact in sum": "#cfe3f3", "unbiased": "#d8efe3", "biased": "#f4f4f4", "not resolved": "#fbf3d5"}
POWERS = ("1", "n", "n²", "n³", "n⁴")
WIDTH, LINE, GAP, LEFT = 1.95, 0.155, 0.32, 0.5  # inches
LETTERS = 31  # that a line of a box has room for


@dataclass
class Box:
    """One rule's box."""

    member: Member
    lines: list[tuple[str, str]]
    """Of each line below the name, its words and its colour."""
    place: tuple[int, int]
    """Column and line of the grid."""
    left: float = 0.0
    top: float = 0.0

    @property
    def height(self) -> float:
        """In inches."""
        return LINE * (len(self.lines) + 1.6)


@styled("screen")
def draw_family(members: Sequence[Member], reductions: Sequence[Reduction], own: Sequence[str], files: Sequence[Path]) -> None:
    """Draw the family, those named in `own` framed, to files that end in .png, .svg or .pdf."""
    known = {each.name for each in members}
    arrows = [each for each in reductions if {each.general["name"], each.special["name"]} <= known]
    targets = dict.fromkeys(each.special["name"] for each in arrows)
    colours = dict(zip(targets, itertools.cycle(COLOURS[2:])))
    boxes = {each.name: _box(each, arrows, colours) for each in members}
    rows = _placed(boxes, arrows)
    height = _measured(boxes, rows)
    width = _left(5)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    for column, words in HEADS.items():
        left = _left(column)
        axes.text(left, 0.36, words, fontsize=9.5, color="0.25", va="center", weight="bold")
    for row, kept in rows.items():
        top = min(box.top for box in boxes.values() if box.place[1] == row)
        axes.text(0.1, top + 0.1, POWERS[kept] if kept else "–", fontsize=13, color="0.35", va="top", weight="bold")
        if row:
            axes.axhline(top - 0.17, color="0.85", linewidth=0.8, zorder=0)
    for box in boxes.values():
        _draw_box(axes, box, box.member.name in own)
    for arrow in arrows:
        _draw_arrow(axes, boxes[arrow.general["name"]], boxes[arrow.special["name"]], arrow, colours)
    _draw_legend(axes, height)
    save(figure, files)


def _words(arrow: Reduction) -> str:
    return f"{'in sum, ' * (arrow.kind == 'in sum')}{arrow.words} → {arrow.special['name']}"


def _box(member: Member, arrows: Sequence[Reduction], colours: dict[str, str]) -> Box:
    kept, time = (POWERS[order(text)] for text in (member.audit.memory, member.audit.multiplications))
    lines = [(f"{kept} kept, {time} a step" if kept != "1" else f"0 kept, {time} a step", "0.35")]
    if tag := TAGS.get(member.depends.facing):
        lines += [(line, "0.35") for line in textwrap.wrap(tag, LETTERS)]
    for arrow in arrows:
        if arrow.general["name"] == member.name:
            target = arrow.special["name"]
            told = textwrap.wrap(_words(arrow), LETTERS, subsequent_indent="   ")
            lines += [(line, colours[target]) for line in told]
    return Box(member, lines, (0, 0))


def _placed(boxes: dict[str, Box], arrows: Sequence[Reduction]) -> dict[int, int]:
    """Put the boxes on a grid, by what is kept and by facing, near what they become; the power of n of each first row."""
    cells: dict[tuple[int, int], list[Box]] = {}
    for box in boxes.values():
        cells.setdefault((order(box.member.audit.memory), COLUMNS[box.member.depends.facing]), []).append(box)
    row, rows = 0, {}
    slots: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for kept in sorted({kept for kept, _ in cells}, reverse=True):
        rows[row] = kept
        deep = max(-(-len(cell) // SPAN[column]) for (order_, column), cell in cells.items() if order_ == kept)
        for column in SPAN:
            slots[kept, column] = [(column + k, row + line) for line in range(deep) for k in range(SPAN[column])]
        row += deep
    for key, cell in cells.items():
        for box, slot in zip(cell, slots[key]):
            box.place = slot
    _shorten(boxes, cells, slots, [(each.general["name"], each.special["name"]) for each in arrows])
    return rows


def _shorten(boxes: dict[str, Box], cells: dict, slots: dict, arrows: Sequence[tuple[str, str]]) -> None:
    """Swap boxes within their cells, or move them to free places, as long as the arrows become shorter or cross fewer boxes."""

    def cost() -> float:
        places = {box.place for box in boxes.values()}
        return sum(_length(boxes[a].place, boxes[b].place, places) for a, b in arrows)

    now, better = cost(), True
    while better:
        better = False
        for key, cell in cells.items():
            for box, slot in itertools.product(cell, slots[key]):
                other, old = next((each for each in cell if each.place == slot), None), box.place
                box.place = slot
                if other:
                    other.place = old
                if (then := cost()) < now - 1e-9:
                    now, better = then, True
                else:
                    box.place = old
                    if other:
                        other.place = slot


def _length(a: tuple[int, int], b: tuple[int, int], places: set[tuple[int, int]]) -> float:
    """Of an arrow from one place of the grid to another, and 2 for each box that it would pass beneath."""
    steps = 4 * max(abs(a[0] - b[0]), abs(a[1] - b[1]), 1)
    passed = {(a[0] + (b[0] - a[0]) * k / steps, a[1] + (b[1] - a[1]) * k / steps) for k in range(1, steps)}
    beneath = {(round(x), round(y)) for x, y in passed if abs(x - round(x)) < 0.4 and abs(y - round(y)) < 0.4} & places - {a, b}
    return ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5 + 2 * len(beneath)


def _measured(boxes: dict[str, Box], rows: dict[int, int]) -> float:
    """Give every box its place in inches; the height of the whole."""
    top = 0.85
    for row in range(max(box.place[1] for box in boxes.values()) + 1):
        line = [box for box in boxes.values() if box.place[1] == row]
        top += 0.15 * (row in rows)
        for box in line:
            box.left, box.top = _left(box.place[0]), top
        top += max([box.height for box in line], default=0) + 0.24
    return top + 0.6


def _left(column: int) -> float:
    return LEFT + column * (WIDTH + GAP)


def _draw_box(axes, box: Box, framed: bool) -> None:
    member, rounding = box.member, "round,pad=0.05,rounding_size=0.07"
    style = "-" if member.randomness == "none" else (0, (3, 1.6))
    width = 2.4 if framed else 1.1
    fill = FILLS[member.bias.verdict] if member.depends.facing != "none" else "white"
    axes.add_patch(
        FancyBboxPatch((box.left, box.top), WIDTH, box.height, rounding, fc=fill, ec="0.25", lw=width, ls=style, zorder=3)
    )
    y = box.top + 0.12
    axes.text(box.left + 0.02, y, member.name, fontsize=10.5, weight="bold", va="center", zorder=4)
    x = box.left + WIDTH - 0.02
    verdicts = [cell.verdict for cell in member.audit.cells.values()]
    for verdict, mark, colour in (("judgement", "?", "#8a5a00"), ("fail", "✗", "#b3261e"), ("pass", "✓", "#17703a")):
        if count := verdicts.count(verdict):
            line = y + 1.15 * LINE
            axes.text(x, line, f"{count}{mark}", fontsize=8.5, color=colour, ha="right", va="center", zorder=4)
            x -= 0.08 * len(f"{count}{mark}") + 0.06
    for k, (words, colour) in enumerate(box.lines):
        axes.text(box.left + 0.02, y + LINE * (k + 1.15), words, fontsize=8.5, color=colour, va="center", zorder=4)


def _draw_arrow(axes, tail: Box, head: Box, arrow: Reduction, colours: dict[str, str]) -> None:
    """From the line that names it to the nearest edge of the other box."""
    colour = colours[arrow.special["name"]]
    line = next(k for k, (words, _) in enumerate(tail.lines) if _words(arrow).startswith(words))
    y = tail.top + 0.12 + LINE * (line + 1.15)
    middle = head.left + WIDTH / 2
    if tail.place[0] == head.place[0]:  # above or below: by the side
        x = tail.left + WIDTH + 0.05
        start, end, curve = (x, y), (x, head.top + head.height / 2), 0.35 if tail.place[1] > head.place[1] else -0.35
    else:
        right = head.left > tail.left
        start = (tail.left + WIDTH + 0.05 if right else tail.left - 0.05, y)
        end, curve = (head.left - 0.05 if right else head.left + WIDTH + 0.05, head.top + head.height / 2), 0.0
        if abs(tail.place[1] - head.place[1]) > 1:
            end = (middle, head.top - 0.05 if head.top > tail.top else head.top + head.height + 0.05)
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9, connectionstyle=f"arc3,rad={curve}", color=colour, lw=1, zorder=2
        )
    )


def _draw_legend(axes, height: float) -> None:
    named = {"exact": "exact", "unbiased": "unbiased over draws", "not resolved": "bias not resolved", "biased": "biased"}
    handles = [Patch(fc=FILLS[key], ec="0.25", label=label) for key, label in named.items()]
    handles.append(Patch(fc="white", ec="0.25", ls=(0, (3, 1.6)), label="dashed: has randomness"))
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.035, 0.25 / height), ncols=5, fontsize=8.5, frameon=False)
    told = "n², n³: how what is kept grows      ✓ ✗ ?: criteria of the audit that it passes, fails, leaves to judgement"
    axes.text(LEFT, height - 0.18, told, fontsize=8.5, color="0.25", va="center")
