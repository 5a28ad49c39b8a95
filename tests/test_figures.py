"""Figures and tables, read back: the curves are the data, bin by bin, and what a reader must know is said in words."""

import csv
import importlib
import io
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from rich.console import Console

from recredit.cli import console
from recredit.report import figures
from recredit.report.fitting import show
from recredit.report.styles import SINGLE
from recredit.report.tables import claims_table, losses_table
from recredit.runs.final_loss import averaged, diverged, final_loss, summary
from recredit.runs.settings import Run
from recredit.studies.claims import CLAIMS, judge
from recredit.studies.variants import pictures

SCHEDULE = {"name": "piecewise_constant_schedule", "boundaries_and_scales": {100: 0.5}}
OPTIMIZER = {"name": "adam", "learning_rate": 0.02, "W_in": 0, "schedule": SCHEDULE}
SETTINGS = {"task": "add", "network": {"n": 7, "alpha": 0.3}, "optimizer": OPTIMIZER}
RUNS = {name: Run.create(SETTINGS | {"rule": name, "steps": 5000, "bin": 1000}) for name in ("rflo", "uoro")}
STEPS = [1000, 2000, 3000, 4000, 5000]


def losses(steps=STEPS, seeds=3, rules=("rflo",), **more):
    """Losses around 0.6 of some rules, falling by a kink; every rule's and seed's differ."""
    rng = np.random.default_rng(0)
    loss = 0.6 + 0.1 * rng.random((len(rules), seeds, len(steps)))
    loss[..., 0] += 0.3
    variables = {
        "loss": (("rule", "seed", "step"), loss),
        "loss_at_start": (("rule", "seed"), np.full((len(rules), seeds), 0.7)),
        "diverged_at": (("rule", "seed"), np.full((len(rules), seeds), -1)),
    }
    return xr.Dataset(variables | more, coords={"rule": list(rules), "seed": range(seeds), "step": steps})


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw runs, and give the figure in place of the file."""
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self))

    def draw(data, style="screen"):
        figures.draw_runs(data, {name: RUNS[name] for name in data.rule.values}, [tmp_path / "loss.png"], style)
        return kept[-1]

    return draw


def words(figure):
    """All text of a figure, in one line."""
    figure.canvas.draw()
    return " ".join(text.get_text() for text in figure.findobj(lambda each: hasattr(each, "get_text"))).replace("\n", " ")


def test_a_curve_is_the_mean_of_each_bin_in_its_middle_and_is_not_bent_anywhere(drawn):
    data = losses([1000, 2000, 3000, 4000, 4600], rules=("rflo", "uoro"))
    axes = drawn(data).axes[0]
    for i, rule in enumerate(data.rule.values):
        line = next(line for line in axes.lines if line.get_label() == rule)
        np.testing.assert_allclose(line.get_xdata(), [500, 1500, 2500, 3500, 4300])
        np.testing.assert_allclose(line.get_ydata(), data.loss.sel(rule=rule).mean("seed"), rtol=1e-14)
        shade = axes.collections[i].get_paths()[0].vertices
        at_500 = shade[shade[:, 0] == 500][:, 1]
        assert np.ptp(at_500) == pytest.approx(2 * data.loss.sel(rule=rule)[:, 0].std(ddof=1).item() / np.sqrt(3), rel=1e-10)


def test_a_run_figure_says_what_was_run_and_how_it_is_drawn(drawn):
    figure = drawn(losses(rules=("rflo", "uoro")))
    said = words(figure)
    for what in (
        "t1=3, t2=5",
        "Mean ± s.e.m. of 3 seeds, in bins of 1,000 steps, not smoothed",
        "; network (n=7, alpha=0.3",
        "adam",
    ):
        assert what in said
    for what in ("W_in=0", "schedule=piecewise_constant_schedule (boundaries_and_scales=(100=0.5))"):
        assert what in said
    for what in ("learning_rate=0.02", "rflo", "uoro", "cross-entropy (nats)", "nothing learned"):
        assert what in said
    colours = {line.get_color() for line in figure.axes[0].lines if line.get_label() in RUNS}
    assert len(colours) == 2
    assert figures.COLOURS[0] not in colours  # Fig. 1's baseline
    labels = [label for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis) for label in axis.get_ticklabels()]
    assert all(figure.bbox.fully_containsx(x) for label in labels for x in label.get_window_extent().intervalx)


def test_fig1_shows_the_curves_of_its_file_as_they_are(monkeypatch, tmp_path):
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self))
    file = Path(__file__).parent.parent / "reproduce" / "fig1-written" / "curves.nc"
    curves = xr.load_dataset(file, engine="h5netcdf")
    figures.draw_fig1(curves, [tmp_path / "fig1.png"])
    for axes, task in zip(kept[0].axes, ("Add", "Mimic"), strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        for rule in curves.rule.values:
            np.testing.assert_allclose(lines[rule].get_ydata(), curves.loss.sel(task=task, rule=rule).mean("seed"), rtol=1e-13)
            np.testing.assert_array_equal(lines[rule].get_xdata(), curves.step - 5000)
        shapes = {(lines[rule].get_linestyle(), lines[rule].get_marker()) for rule in curves.rule.values}
        assert len(shapes) == 6  # told apart without colour
        axis = axes.spines["left"].get_window_extent().x1
        assert axes.transData.transform((0, 1))[0] - axis > 5  # no curve begins on the axis
    assert "mean ± s.e.m. of 20 seeds, in bins of 10,000 steps, not smoothed" in words(kept[0])


def test_every_line_is_told_apart_without_its_colour():
    for looks in (figures.LOOKS, figures.CHOSEN):
        assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == len(looks)
    assert len(figures.CHOSEN) == 21


def test_a_figure_for_paper_has_a_columns_width_and_type_sizes(drawn):
    figure = drawn(losses(rules=("rflo", "uoro")), "paper")
    said = words(figure)
    assert figure.get_figwidth() == SINGLE
    sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text() and text.get_visible()}
    assert sizes == {7, 8}
    assert max(line.get_linewidth() for line in figure.axes[0].lines) <= 1
    assert "not smoothed" not in said  # what a caption says
    assert "cross-entropy (nats)" in said


def test_files_for_paper_hold_their_text_as_text_and_say_what_they_show(tmp_path):
    names = pictures(("loss.png",), "paper")
    assert names == ("loss.png", "loss.svg", "loss.pdf")
    data = losses()
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        figures.draw_runs(data, {"rflo": RUNS["rflo"]}, [folder / name for name in names], "paper")
    svg, pdf = ((tmp_path / "a" / f"loss.{kind}").read_bytes() for kind in ("svg", "pdf"))
    tree = ElementTree.fromstring(svg)
    texts = {each.text: each for each in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert {"network steps", "cross-entropy (nats)", "rflo"} <= texts.keys()
    assert "sans-serif" in texts["rflo"].attrib["style"]
    assert tree.attrib["width"] == f"{72 * SINGLE:g}pt"
    assert b"FontFile2" in pdf  # TrueType
    assert b"Type3" not in pdf
    with Image.open(tmp_path / "a" / "loss.png") as png:
        captions = png.text["Description"], next(tree.iter("{http://purl.org/dc/elements/1.1/}description")).text
    assert all("Mean ± s.e.m. of 3 seeds, in bins of 1,000 steps, not smoothed." in caption for caption in captions)
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_numbers_of_a_figure_of_slopes_lie_beside_it(tmp_path):
    curve = {"alpha": [0.25, 0.0625], "max": [0.2, 0.05], "mean": [0.1, 0.025]}
    audited = SimpleNamespace(rule="a rule", slopes={"B": curve, "inner.A": curve})
    figures.draw_slopes([audited], tmp_path / "slopes.pdf")
    with (tmp_path / "slopes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (tmp_path / "slopes.pdf").stat().st_size > 2000
    assert [row["matrix"] for row in rows] == ["B", "B", "inner.A", "inner.A"]
    assert [float(row["largest_change"]) for row in rows[:2]] == curve["max"]
    assert float(rows[0]["slope"]) == pytest.approx(1)


def test_observers_have_a_panel_of_their_own(drawn):
    cosine = np.random.default_rng(1).random((1, 2, 3, 5))
    cosine[0, 1] = np.nan
    cosine[0, 0, 1, 2] = np.nan  # one seed had nothing to compare in one bin
    data = losses(cosine=(("rule", "observer", "seed", "step"), cosine)).assign_coords(observer=["rtrl", "fixed_w"])
    figure = drawn(data)
    line = next(line for line in figure.axes[1].lines if line.get_label() == "rtrl beside rflo")
    np.testing.assert_allclose(line.get_ydata(), np.nanmean(cosine[0, 0], axis=0), rtol=1e-14)
    assert line.get_color() != figure.axes[0].lines[0].get_color()
    assert "fixed_w beside rflo: never comparable" in words(figure)
    figure = drawn(data.assign(diverged_at=0 * data.diverged_at))
    assert "rtrl beside rflo: every seed that could be compared diverged" in words(figure)
    assert "fixed_w beside rflo: never comparable" in words(figure)


def test_many_rules_and_observers_with_long_names_leave_room_for_the_curves(drawn, monkeypatch):
    rules = [f"a.rule-with-a-name-of-its-own-{i}" for i in range(9)]
    monkeypatch.setattr(sys.modules[__name__], "RUNS", dict.fromkeys([*rules, 100 * "x"], RUNS["rflo"]))
    cosine = (("rule", "observer", "seed", "step"), np.zeros((10, 3, 3, 5)))
    figure = drawn(losses(rules=[*rules, 100 * "x"], cosine=cosine).assign_coords(observer=rules[:3]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as of a layout that finds no room
        figure.canvas.draw()
    assert all(axes.get_window_extent().height > 0.25 * figure.bbox.height / 2 for axes in figure.axes)
    looks = [(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines if line.get_label() in RUNS]
    assert len(set(looks)) == len(looks)


def test_one_bin_is_a_marker(drawn):
    data = losses([5000])
    figure = drawn(data)
    marker = next(line for line in figure.axes[0].lines if line.get_marker() == figures.CHOSEN[0]["marker"])
    assert (marker.get_xdata().item(), marker.get_ydata().item()) == pytest.approx((2500, data.loss.mean().item()))
    assert "One seed, in bins of 5,000 steps" in words(drawn(losses([5000], seeds=1)))


def test_a_seed_that_diverged_is_left_out_and_named(drawn):
    data = losses(rules=("rflo", "uoro"))
    data.diverged_at[0, 1] = 40
    data.loss[0, 1] = np.nan
    figure = drawn(data)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), data.loss[0, [0, 2]].mean("seed"))
    assert "rflo: 1 of 3 seeds diverged" in words(figure)
    assert "uoro: " not in words(figure)


def test_a_run_of_which_nothing_is_left_says_so_in_place_of_curves(drawn):
    data = losses()
    data.diverged_at[0, :2] = 40
    data.loss[0, 2] = 8  # finite, but 11 times the untrained network's
    figure = drawn(data)
    assert "Every seed diverged: a loss that is not finite, or a final loss more than 10 times" in words(figure)
    assert not figure.axes[0].get_yticks().size
    assert "rflo: 3 of 3 seeds diverged" in words(figure)


def test_names_of_levels_stand_at_their_lines_and_never_on_each_other(drawn, monkeypatch):
    close = {"a": 0.5, "b": 0.501, "c": 0.95}
    monkeypatch.setattr(figures, "loss_levels", lambda task: close)
    figure = drawn(losses())
    axes = figure.axes[0]
    figure.canvas.draw()
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    at = {what: axes.transData.transform((0, level))[1] for what, level in close.items()}
    middles = {what: (box.y0 + box.y1) / 2 for what, box in boxes.items()}
    assert middles["a"] == pytest.approx(at["a"], abs=2)
    assert middles["c"] == pytest.approx(at["c"], abs=2)
    assert boxes["a"].y1 <= boxes["b"].y0


ENDS = {
    "ten bins of a hundred": ([100 * k for k in range(1, 101)], 10, "the last 1,000 of 10,000 steps"),
    "a short last bin": ([1000 * k for k in range(1, 20)] + [19_500], 2, "the last 1,500 of 19,500 steps"),
    "two whole bins and a short one": ([10 * k for k in range(1, 26)] + [255], 3, "the last 25 of 255 steps"),
    "a bin across the border": ([400, 800, 1000], 1, "the last 200 of 1,000 steps"),
    "one bin": ([15_000], 1, "all 15,000 steps"),
}


@pytest.mark.parametrize("what", ENDS)
def test_the_loss_at_the_end_is_the_mean_over_the_steps_that_are_named(what):
    steps, bins, sentence = ENDS[what]
    data = losses(steps)
    sizes = np.diff(steps, prepend=0)[-bins:]
    expected = (data.loss.values[..., -bins:] * sizes).sum(-1) / sizes.sum()
    np.testing.assert_allclose(final_loss(data), expected, rtol=1e-13)
    assert averaged(data.step) == sentence
    assert losses_table({}, 3, sentence).title == f"Mean loss over {sentence}"


def test_a_seed_with_nothing_scored_at_the_end_ends_with_what_was_scored_last():
    data = losses([10 * k for k in range(1, 21)], seeds=3)
    scored = xr.zeros_like(data.loss)
    scored[0, 0, [3, 18]], scored[0, 1, [3, 7]] = 1, [1, 2]
    data = data.assign(scored=scored, loss=data.loss.where(scored > 0), loss_at_start=np.nan * data.loss_at_start)
    expected = [data.loss[0, 0, 18], data.loss[0, 1, 7], np.nan]
    np.testing.assert_array_equal(final_loss(data, [0.7])[0], expected)
    assert not diverged(data, [0.7]).any()
    assert diverged(data, [0.01]).values.tolist() == [[True, True, False]]  # beyond the known level, if that is all there is


def test_a_loss_far_above_the_untrained_networks_counts_as_diverged():
    data = losses(seeds=4)
    data.loss[0, :, -1] = [6.9, 7.1, np.inf, 6.9]  # at the start: 0.7
    data.diverged_at[0, 3] = 4
    assert diverged(data).values.tolist() == [[False, True, True, True]]
    silent = data.assign(loss_at_start=0 * data.loss_at_start)  # no label in the first steps: nothing to hold it against
    assert diverged(silent).values.tolist() == [[False, False, True, True]]
    assert diverged(data, [0.5, 0.72]).values.tolist() == [
        [False, False, True, True]
    ]  # a level beyond what was seen at the start
    assert summary(final_loss(data.expand_dims(task=["t"])))["t"]["rflo"]["seeds"] == 1


def printed(table, width):
    terminal = Console(width=width, record=True, file=io.StringIO())
    show(terminal, table)
    return terminal.export_text()


def judged(seeds):
    levels = {"fixed-W": 0.6, "BPTT": 0.46, "RTRL": 0.46, "RFLO": 0.5, "DNI": 0.49, "DNI(b)": 0.51}
    values = np.array(list(levels.values()))[None, :, None] + 0.001 * np.arange(seeds) ** 2
    final = xr.DataArray(values, dims=("task", "rule", "seed"), coords={"task": ["Add"], "rule": list(levels)})
    return judge(final)["claims"]


@pytest.mark.parametrize("width", [1, 20, 40, 60, 200])
def test_no_terminal_is_too_narrow_for_a_number_or_a_name(width):
    final = {
        "add": {"rflo": {"mean": 0.67231, "sem": 0.012345, "seeds": 18}, "my[red].py": {"mean": None, "sem": None, "seeds": 0}}
    }
    text = printed(losses_table(final, 20, "the last 1,000 of 10,000 steps"), width)
    for what in ("add", "rflo", "0.6723", "0.01235", "20", "my[red].py", "the last 1,000 of 10,000 steps", "final loss"):
        assert what in " ".join(text.split())
    assert "…" not in text
    text = " ".join(printed(claims_table(judged(20)), width).replace("│", " ").split())
    assert text.count("supported") == 4


def test_no_columns_at_all_are_taken_for_eighty(monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")
    assert importlib.reload(console).console.width == 80
    monkeypatch.undo()
    importlib.reload(console)


def test_a_table_of_claims_says_when_there_are_too_few_seeds_for_any():
    few, enough = printed(claims_table(judged(4)), 200), printed(claims_table(judged(6)), 200)
    assert few.count("4 seeds: too few") == len(CLAIMS)
    assert "With fewer than 6 seeds no p can be below 0.05, so no claim can be supported." in few
    assert "claim:" not in printed(claims_table(judged(4)), 80)  # a table still
    assert "too few" not in enough.lower()
    assert "supported" in enough
