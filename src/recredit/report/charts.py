"""The charts of the report as Vega-Lite specifications, drawn by Altair; the page gives them their data and their colours.

The page's script gives each chart the rows of those lines alone that are switched on.
"""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt

from recredit.report.figures import COLOURS

# What colours of the figures that are too dark for a dark page are there.
ON_DARK = {"#7f7f7f": "#a8a8a8", "#000000": "#f2f2f2", "#0072B2": "#3c9be0", "#009E73": "#2bc79a"}
DASHES = [[1, 0], [7, 3], [2, 2], [8, 2, 2, 2]]
HEIGHT = 320


def styles(names: Sequence[str], has_baseline: bool) -> dict[str, dict[str, Any]]:
    """The colours and the dashes of lines, so that no two of up to 32 look alike and neighbours differ in both. The colours are
    those of the figures: grey for the baseline of Fig. 1, if there `has_baseline`."""
    colours = COLOURS if has_baseline else [*COLOURS[2:], *COLOURS[1::-1]]
    return {
        name: {
            "light": colours[k % len(colours)],
            "dark": ON_DARK.get(colours[k % len(colours)], colours[k % len(colours)]),
            "dash": DASHES[(k + k // len(colours)) % len(DASHES)],
        }
        for k, name in enumerate(names)
    }


def curves() -> dict[str, Any]:
    """Losses, or cosines, over network steps: data `means` (name, step, value, low, high, seeds), `seeds` (name, seed, step,
    value) and `levels` (what, value)."""
    hover = alt.selection_point(name="hover", on="pointerover", nearest=True, fields=["name", "step"], empty=False)
    x = alt.X("step:Q", title="network steps", axis=alt.Axis(format="~s", tickCount=5, grid=False))
    y = alt.Y("value:Q", axis=alt.Axis(tickCount=6))
    color, dash = alt.Color("name:N", legend=None), alt.StrokeDash("name:N", legend=None)
    means = alt.Chart(alt.NamedData("means"))
    told = [
        alt.Tooltip("name:N", title="rule"),
        alt.Tooltip("bin:N", title="network steps"),
        alt.Tooltip("value:Q", format=".4g", title="mean"),
        alt.Tooltip("error:Q", format=".2g", title="± s.e.m."),
        alt.Tooltip("seeds:Q", title="seeds"),
    ]
    band = means.mark_area(opacity=0.22, clip=True).encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color)
    line = means.mark_line(strokeWidth=2, clip=True).encode(x, y, color, dash)
    dots = (
        means.mark_point(filled=True, size=70)
        .encode(
            x,
            y,
            color,
            opacity=alt.condition(hover, alt.value(1), alt.Opacity("alone:Q", scale=None, legend=None)),
            tooltip=told,
        )
        .add_params(hover)
    )
    seeds = (
        alt.Chart(alt.NamedData("seeds"))
        .mark_line(strokeWidth=1, opacity=0.6, clip=True)
        .encode(x, y, color, dash, alt.Detail("seed:N"), tooltip=[told[0], alt.Tooltip("seed:N", title="seed")])
    )
    levels = alt.Chart(alt.NamedData("levels"))
    rules = levels.mark_rule(strokeDash=[1, 3], opacity=0.7).encode(y)
    names = levels.mark_text(align="right", dy=-5, fontSize=11, opacity=0.85).encode(
        y, x=alt.value(alt.ExprRef("width")), text="what:N"
    )
    return _spec(alt.layer(rules, names, band, seeds, line, dots))


def finals() -> dict[str, Any]:
    """The loss at the end: data `finals` (name, seed, value), a dot a seed, and `ends` (name, value, low, high)."""
    x = alt.X("value:Q", axis=alt.Axis(tickCount=6))
    y = alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=180, ticks=False, domain=False))
    color = alt.Color("name:N", legend=None)
    dots = (
        alt.Chart(alt.NamedData("finals"))
        .mark_circle(size=42, opacity=0.45)
        .encode(
            x,
            y,
            color,
            tooltip=[
                alt.Tooltip("name:N", title="rule"),
                alt.Tooltip("seed:N", title="seed"),
                alt.Tooltip("value:Q", format=".4g", title="final loss"),
            ],
        )
    )
    ends = alt.Chart(alt.NamedData("ends"))
    told = [
        alt.Tooltip("name:N", title="rule"),
        alt.Tooltip("value:Q", format=".4g", title="mean"),
        alt.Tooltip("error:Q", format=".2g", title="± s.e.m."),
    ]
    error = ends.mark_rule(strokeWidth=2).encode(alt.X("low:Q"), alt.X2("high:Q"), y, color)
    mean = ends.mark_tick(thickness=3, size=20).encode(x, y, color, tooltip=told)
    return _spec(alt.layer(dots, error, mean))


def costs() -> dict[str, Any]:
    """What a rule keeps, or multiplies at each step, against the number of units: data `costs` (name, n, value)."""
    ns = [8, 16, 32, 64, 128, 256, 512, 1024]
    x = alt.X("n:Q", title="units n", scale=alt.Scale(type="log", base=2, nice=False), axis=alt.Axis(values=ns, grid=False))
    y = alt.Y("value:Q", scale=alt.Scale(type="log"), axis=alt.Axis(format="~s", tickCount=6))
    lines = (
        alt.Chart(alt.NamedData("costs"))
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=24))
        .encode(
            x,
            y,
            alt.Color("name:N", legend=None),
            alt.StrokeDash("name:N", legend=None),
            tooltip=[
                alt.Tooltip("name:N", title="rule"),
                alt.Tooltip("n:Q"),
                alt.Tooltip("value:Q", format=",", title="numbers"),
                alt.Tooltip("formula:N", title="is"),
            ],
        )
    )
    return _spec(lines)


def heat() -> dict[str, Any]:
    """How two gradients align: data `heat` (row, column, value, low, high, text)."""
    base = alt.Chart(alt.NamedData("heat")).encode(
        alt.X("column:N", sort=None, title=None, axis=alt.Axis(orient="top", labelAngle=-45, ticks=False, domain=False)),
        alt.Y("row:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False)),
        tooltip=[
            alt.Tooltip("row:N", title="gradient of"),
            alt.Tooltip("column:N", title="beside"),
            alt.Tooltip("value:Q", format=".3f", title="mean"),
            alt.Tooltip("low:Q", format=".3f", title="95 % from"),
            alt.Tooltip("high:Q", format=".3f", title="to"),
        ],
    )
    fill = alt.Color("colour:Q", legend=None, scale=alt.Scale(domain=[-1, 1], scheme="redblue", reverse=True))
    known = "isValid(datum.value)"
    fields = base.transform_filter(known).mark_rect(stroke=None).encode(fill)
    missing = base.transform_filter(f"!{known}").mark_rect(color="#8886", stroke=None)
    text = base.mark_text(fontSize=11).encode(
        text="text:N",
        color=alt.condition("abs(datum.colour) > 0.6 && isValid(datum.value)", alt.value("white"), alt.value("black")),
    )
    return _spec(alt.layer(missing, fields, text))


def _spec(chart: Any) -> dict[str, Any]:
    """A chart as wide as its place on the page."""
    spec = json.loads(chart.properties(width="container", height=HEIGHT).to_json(indent=None))
    spec.pop("config", None)  # the page's, which knows whether it is dark
    return spec | {"autosize": {"type": "fit-x", "contains": "padding"}}
