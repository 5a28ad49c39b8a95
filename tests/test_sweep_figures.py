"""The figures and the table of a sweep, read back: each point is where its numbers are, and what is not drawn is named."""

import io
import warnings

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from rich.console import Console
from test_store import MADE, trained

from recredit.report import sweep_figures
from recredit.report.fitting import show
from recredit.report.styles import DOUBLE, SINGLE
from recredit.report.sweep_figures import draw_curves, draw_selection
from recredit.report.sweeps import sweep_table
from recredit.runs.files import writable_folder
from recredit.runs.store import write_cells
from recredit.runs.sweep import read_sweep
from recredit.studies.sweeps import reported

RATES = [1e-4, 1e-3, 1e-2]
BASE = """
rule = ["rflo", "dni"]
task = ["add", "mimic"]
steps = 2000
seeds = 3
[grid]
optimizer.learning_rate = [1e-4, 1e-3, 1e-2]
[select]
axis = "optimizer.learning_rate"
seeds = 2
"""


@pytest.fixture
def swept(tmp_path):
    """The sweep of a file of this text."""

    def swept(text):
        (tmp_path / "swept.toml").write_text(text)
        return read_sweep(tmp_path / "swept.toml")

    return swept


@pytest.fixture
def kept(monkeypatch):
    """The figures in place of their files."""
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self))
    return kept


def decided(sweep, losses):
    """What decides in a sweep, as `selection` gives it; `losses`: what each candidate and seed lost."""
    losses = np.broadcast_to(losses, (len(sweep.candidates), len(sweep.select.seeds)))
    coords = {**sweep.coordinates(sweep.candidates), "seed": list(sweep.select.seeds)}
    variables = {"final_loss": (("point", "seed"), losses), "untrained": ("point", np.full(len(losses), 0.7))}
    return xr.Dataset(variables, coords=coords)


def came_to(sweep, numbers, loss):
    """What a sweep came to, as `reported` gives it: a loss in each of four bins."""
    shape = len(numbers), len(sweep.seeds), 4
    loss = np.broadcast_to(loss, shape)
    coords = {**sweep.coordinates(numbers), "seed": list(sweep.seeds), "step": [500, 1000, 1500, 2000]}
    return xr.Dataset({"loss": (("point", "seed", "step"), loss), "final_loss": (("point", "seed"), loss[..., -1])}, coords)


def words(figure):
    figure.canvas.draw()
    return " ".join(text.get_text() for text in figure.findobj(lambda each: hasattr(each, "get_text"))).replace("\n", " ")


def marks(panel, marker):
    """The places of all marks of a kind in a panel, with their colours."""
    lines = [line for line in panel.lines if line.get_marker() == marker]
    return sorted((x, to_hex(line.get_color())) for line in lines for x in line.get_xdata())


def test_each_point_is_drawn_or_marked_at_the_edge(swept, kept, tmp_path):
    sweep = swept(BASE)
    losses = np.array(
        [[0.6, 0.62], [0.5, 0.54], [0.66, 9.0]] + [[5e-2, 5e-2], [1e-4, 3e-4], [0.6, np.nan]] + 6 * [[0.55, 0.55]]
    )
    draw_selection(sweep, decided(sweep, losses), [1, 4, 6, 9], [tmp_path / "selection.png"])
    add, mimic = kept[0].axes
    said = words(kept[0])
    blue, green = (to_hex(look["color"]) for look in sweep_figures.CHOSEN[:2])
    first = next(line for line in add.lines if line.get_marker() == "D" and to_hex(line.get_color()) == blue)
    np.testing.assert_allclose(first.get_xdata(), RATES)
    np.testing.assert_allclose(first.get_ydata(), [0.61, 0.52, 4.83])
    bars = [np.ptp(bar[:, 1]) for bar in add.collections[0].get_segments()]
    np.testing.assert_allclose(bars, [0.02, 0.04, 8.34])  # twice the standard error of two: their difference
    assert marks(add, "^") == [(1e-2, blue)]
    assert marks(add, "x") == []
    assert add.get_ylim()[1] == pytest.approx(0.7 + 0.06 * (0.7 - 0.4545), abs=1e-3)
    assert marks(add, "o") == [(1e-4, green), (1e-3, blue)]
    assert marks(mimic, "x") == [(1e-2, blue)]
    assert mimic.get_ylim()[0] < 2e-4 < 0.55 < mimic.get_ylim()[1]
    assert (add.get_xscale(), add.get_yscale(), mimic.get_yscale()) == ("log", "linear", "log")
    for what in (
        "rflo",
        "dni",
        "chosen",
        "a seed diverged",
        "above the untrained network",
        "mean ± s.e.m. of the selection seeds 3 to 4",
    ):
        assert what in said
    for what in ("cross-entropy (nats)", "½ mean squared error", "learning rate", "nothing learned", "add", "mimic"):
        assert what in said


def test_a_figure_in_which_all_is_well_speaks_of_no_divergence(swept, kept, tmp_path):
    sweep = swept(BASE)
    draw_selection(sweep, decided(sweep, [0.5, 0.6]), [0], [tmp_path / "selection.png"])
    assert "diverged" not in words(kept[0])
    assert "above" not in words(kept[0])


def test_a_choice_among_points_that_all_diverged_is_still_shown(swept, kept, tmp_path):
    sweep = swept(BASE.replace('["add", "mimic"]', '"add"').replace('["rflo", "dni"]', '"rflo"'))
    draw_selection(sweep, decided(sweep, [0.5, np.nan]), [1], [tmp_path / "selection.png"])
    (panel,) = kept[0].axes
    assert [x for x, _ in marks(panel, "x")] == RATES
    assert [x for x, _ in marks(panel, "o")] == [1e-3]
    assert "nothing learned" in words(kept[0])
    sweep = swept(BASE.replace('["add", "mimic"]', '"mimic"'))
    draw_selection(sweep, decided(sweep, np.nan), [1, 4], [tmp_path / "selection.png"])
    assert "All points are marked above." in words(kept[1])


MANY_RULES = "\n".join(f'{30 * "n"}{k} = "rflo"' for k in range(30))
MANY_TASKS = "\n".join(f'delay{k} = {{ name = "add", t2 = {k} }}' for k in range(6, 21))
SWEEPS = {
    "one rule, one task": BASE.replace('["add", "mimic"]', '"add"').replace('["rflo", "dni"]', '"rflo"'),
    "one seed": BASE.replace("seeds = 2", "seeds = 1"),
    "words": BASE.replace("optimizer.learning_rate", "network.activation").replace("[1e-4, 1e-3, 1e-2]", '["relu", "tanh"]'),
    "among rules": BASE.replace('axis = "optimizer.learning_rate"', 'axis = "rule"'),
    "two axes": BASE.replace("[grid]", '[grid]\nnetwork.n = [4, 8]\noptimizer.name = ["sgd", "adam"]'),
    "long labels": BASE.replace('rule = ["rflo", "dni"]', "").replace("[grid]", f"[rule]\n{MANY_RULES}\n[grid]"),
    "fifteen tasks": BASE.replace('task = ["add", "mimic"]', "").replace("[grid]", f"[task]\n{MANY_TASKS}\n[grid]"),
    "a narrow range": BASE.replace("[1e-4, 1e-3, 1e-2]", "[0.0, 0.1]").replace("optimizer.learning_rate", "optimizer.momentum"),
}


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=pytest.mark.slow if what == "fifteen tasks" else ()) for what in SWEEPS]
)
def test_any_sweep_has_figures_with_room_for_what_they_show(swept, kept, tmp_path, what):
    sweep = swept(SWEEPS[what])
    losses = np.linspace(0.5, 0.8, len(sweep.candidates))[:, None]
    chosen = [group[0] for group in sweep.groups]
    draw_selection(sweep, decided(sweep, losses), chosen, [tmp_path / "selection.png"])
    draw_curves(sweep, came_to(sweep, chosen, 0.5), [tmp_path / "sweep.png"])
    for figure in kept:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # as of a layout that finds no room
            figure.canvas.draw()
        for panel in figure.axes:
            size = panel.get_window_extent()
            assert min(size.width, size.height) > 1.8 * figure.dpi or not panel.axison
            low, high = panel.get_xlim()
            labels = [each for x, each in zip(panel.get_xticks(), panel.get_xticklabels(), strict=True) if low <= x <= high]
            assert all(figure.bbox.fully_containsx(x) for each in labels for x in each.get_window_extent().intervalx)


def test_words_stand_in_the_order_of_the_file(swept, kept, tmp_path):
    sweep = swept(SWEEPS["words"].replace('"relu", "tanh"', '"tanh", "relu"'))
    draw_selection(sweep, decided(sweep, 0.5), [1], [tmp_path / "selection.png"])
    panel = kept[0].axes[0]
    assert [each.get_text() for each in panel.get_xticklabels()] == ["tanh", "relu"]
    assert [x for x, _ in marks(panel, "o")] == [1]


def test_lines_that_are_too_many_are_counted(swept, kept, tmp_path):
    sweep = swept(SWEEPS["long labels"])
    draw_selection(sweep, decided(sweep, 0.5), [], [tmp_path / "selection.png"])
    draw_selection(sweep, decided(sweep, 0.5), [], [tmp_path / "selection.png"], "paper")
    assert kept[1].get_figwidth() == DOUBLE
    assert "18 of 60 lines are not drawn." in words(kept[0])


def test_curves_are_those_of_the_points_that_are_reported(swept, kept, tmp_path):
    sweep = swept(BASE)
    loss = 0.6 + 0.1 * np.random.default_rng(0).random((4, 3, 4))
    loss[1, 0] = np.nan
    data = came_to(sweep, [1, 4, 6, 9], loss)
    draw_curves(sweep, data, [tmp_path / "sweep.png"])
    draw_curves(sweep, data, [tmp_path / "sweep.png"], "paper")
    assert [figure.get_figwidth() for figure in kept] == [7.6, SINGLE]
    add, mimic = kept[0].axes
    for panel, numbers in ((add, [1, 6]), (mimic, [4, 9])):
        for line, number in zip(panel.lines, numbers, strict=False):
            np.testing.assert_allclose(line.get_xdata(), [250, 750, 1250, 1750])
            np.testing.assert_allclose(line.get_ydata(), data.loss.sel(point=number).mean("seed"))
    said = words(kept[0])
    for what in ("rflo learning_rate=0.001", "rflo learning_rate=0.001: 1 of 3 seeds diverged", "dni learning_rate=0.0001"):
        assert what in said
    assert "Mean ± s.e.m. of 3 seeds, in bins of 500 steps, not smoothed." in said


def test_where_labels_are_classes_the_accuracy_is_kept_beside_the_loss(swept, tmp_path):
    sweep = swept('task = ["add", "parity"]\nrule = "rflo"\nsteps = 400\nbin = 100\nseeds = 2\nnetwork.n = 4\n')
    folder = writable_folder(tmp_path / "results")
    made = {}
    for run in sweep.runs([0, 1]).values():
        made[run.task["name"]] = trained(run, [0, 1])
        write_cells(folder, run, made[run.task["name"]], MADE)
    accuracy = reported(sweep, folder, [0, 1]).final_accuracy
    assert accuracy.isnull().values.tolist() == [[True, True], [False, False]]
    np.testing.assert_array_equal(accuracy[1], made["parity"].accuracy[:, -1])


def test_a_table_fits_a_terminal_and_speaks_of_divergence_where_there_is_some(swept):
    sweep = swept(BASE)
    data = came_to(sweep, [1, 4, 6, 9], 0.123456 + 1e-3 * np.arange(3)[:, None])

    def printed(final, **more):
        console = Console(file=io.StringIO(), width=80)
        show(console, sweep_table(data.assign(final_loss=final, **more), list(sweep.axes)))
        return console.file.getvalue()

    assert "│ rflo │ add   │ 0.001         │     0.1245 │  0.00058 │" in printed(data.final_loss)
    assert "of 3 seeds" in printed(data.final_loss)
    assert "diverged" not in printed(data.final_loss)
    lost = data.final_loss.copy()
    lost[1, 0] = np.nan
    assert "│ rflo │ mimic │ 0.001         │      0.125 │   0.0005 │        1 │" in printed(lost)
    accuracy = xr.full_like(lost, 0.875).where(lost.task == "add")  # Mimic has no classes
    both = printed(data.final_loss, final_accuracy=accuracy)
    assert "│ rflo │ add   │ 0.001         │     0.1245 │  0.00058 │   87.5 % │" in both
    assert "│ rflo │ mimic │ 0.001         │     0.1245 │  0.00058 │        – │" in both
