"""scaling.png: time per step against n."""

import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import matplotlib.ticker
from figures import Rows, by_name, rules, sizes, us
from matplotlib.axes import Axes

GREY, BLUE, RED, ORANGE, GREEN = "0.6", "#0072B2", "#D55E00", "#E69F00", "#009E73"
RTRL = (
    ("recredit", "rtrl_block", "rtrl_block", RED, 2.6),
    ("recredit", "rtrl", "rtrl (dense)", BLUE, 2.0),
    ("NumPy", "rtrl", "NumPy RTRL", ORANGE, 1.4),
    ("BrainTrace", "rtrl", "BrainTrace SnAp-2", GREEN, 1.4),
)
COLOURS = [*plt.get_cmap("tab10").colors, "black"]


def draw(results: dict, path: Path) -> None:
    """Two panels: exact RTRL by each contender, and the other rules."""
    rows = by_name(results)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="units n")
        axes.set_xticks(sizes(rows), map(str, sizes(rows)))
        axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(sizes(rows)[0] / 1.1, sizes(rows)[-1] * 1.1)
    left.set_ylabel("µs per step of one seed, on one core")
    left.set_title("exact gradients: RTRL", loc="left", fontsize=11)
    right.set_title("the other rules", loc="left", fontsize=11)
    lines(left, rows, RTRL)
    others = [rule for rule in rules(rows) if rule not in ("rtrl", "rtrl_block")]
    lines(right, rows, [("recredit", rule, rule, COLOURS[i % len(COLOURS)], 1.4) for i, rule in enumerate(others)])
    for axes, powers in ((left, (3, 4)), (right, (2, 3))):
        guides(axes, sizes(rows), powers)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def lines(axes: Axes, rows: Rows, shown) -> None:
    """Each with its name at its right end; names are moved apart where they would lie on each other."""
    ends = []
    for contender, rule, name, colour, width in shown:
        points = {n: took for n in sizes(rows) if (took := us(rows, contender, rule, n))}
        if points:
            axes.plot(list(points), list(points.values()), "o-", color=colour, linewidth=width, markersize=3.5)
            ends.append([*list(points.items())[-1], name, colour])
    low, high = axes.get_ylim()
    ends.sort(key=lambda end: end[1])
    heights = apart([math.log(took / low) for _, took, _, _ in ends], 0.05 * math.log(high / low))
    for (n, took, name, colour), height in zip(ends, heights):
        where = {"xytext": (1.09, low * math.exp(height)), "textcoords": axes.get_yaxis_transform()}
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "relpos": (0, 0.5)}
        axes.annotate(name, (n, took), **where, arrowprops=line, color=colour, fontsize=9, va="center", annotation_clip=False)


def apart(heights: list[float], gap: float) -> list[float]:
    """Ascending heights, moved as little as it takes to lie `gap` apart: those that touch share their middle."""
    clusters: list[list[float]] = []
    for height in heights:
        clusters.append([height])
        while len(clusters) > 1 and bottom(clusters[-1], gap) < bottom(clusters[-2], gap) + gap * len(clusters[-2]):
            touching = clusters.pop()
            clusters[-1] += touching
    return [bottom(cluster, gap) + gap * i for cluster in clusters for i in range(len(cluster))]


def bottom(cluster: list[float], gap: float) -> float:
    return sum(cluster) / len(cluster) - gap * (len(cluster) - 1) / 2


def guides(axes: Axes, at: list[int], powers: tuple[int, int]) -> None:
    """Dashes with theory's slopes, in the upper left corner."""
    low, high = axes.get_ylim()
    top, bottom = (low * (high / low) ** height for height in (0.94, 0.72))
    for power in powers:
        end = at[0] * (top / bottom) ** (1 / power)
        axes.plot([at[0], end], [bottom, top], "--", color=GREY, linewidth=1)
        axes.annotate(f"n{'⁰¹²³⁴'[power]}", (end, top), xytext=(0, 2), textcoords="offset points", color=GREY, fontsize=9)
    axes.set_ylim(low, high)
