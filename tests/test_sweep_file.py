"""Sweep files span exactly the points that they say, and of these the choice is made that they declare."""

import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from recredit.report.sweep_plan import plan
from recredit.runs import settings
from recredit.runs.choice import choose
from recredit.runs.request import request
from recredit.runs.settings import Run
from recredit.runs.sweep import read_sweep
from recredit.studies import fig1
from recredit.studies.outlook import outlook
from recredit.training.step import Trainer

SWEEPS = Path(__file__).parent.parent / "sweeps"
RATE = "optimizer.learning_rate"
OWN = """
from recredit import AbstractRule
class Mine(AbstractRule):
    def init(self, net, key):
        return None
    def update(self, net, step, state, key):
        return 0 * net.W, state
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def swept(text, top='task = "add"\nsteps = 200\n'):
    """The sweep of a file, of 200 steps of Add unless it says more."""
    Path("my.toml").write_text(top + text)
    return read_sweep(Path("my.toml"))


def points(sweep):
    """The points' coordinates as rows of labels, "-" for none."""
    return {tuple(point.coordinates.get(path, "-") for path in sweep.axes) for point in sweep.points}


def run(**table):
    """The text of a run."""
    return Run.create({"task": "add", "steps": 200} | table).text()


def test_lists_of_rules_and_tasks_and_the_grid_are_combined():
    sweep = swept(
        """task = ["add", "mimic"]
        rule = ["rflo", {name = "f_bptt", window = 3}]
        steps = 2e2
        network.n = 4
        grid.optimizer.learning_rate = [1e-3, 1e-2]""",
        top="",
    )
    assert [*sweep.axes.items()] == [("rule", ["rflo", "f_bptt"]), ("task", ["add", "mimic"]), (RATE, [1e-3, 1e-2])]
    assert len(sweep.points) == 8
    for point in sweep.points:
        rule, task, rate = point.coordinates.values()
        table = {"rule": {"rflo": "rflo", "f_bptt": {"name": "f_bptt", "window": 3}}[rule], "task": task}
        assert point.run.text() == run(**table, network={"n": 4}, optimizer={"learning_rate": rate})
    assert (sweep.seeds, sweep.select, sweep.out, sweep.name) == (range(20), None, Path("results/my"), "my")


def test_a_file_without_axes_is_the_run_that_train_makes_of_it():
    text = 'rule = "rflo"\ntask = "add"\nsteps = 2e2\nseeds = 3\nobservers = ["rtrl"]\nstreams = 2\nout = "there"\nbin = 50\n'
    Path("a").mkdir()
    Path("a/my.toml").write_text(text + "[optimizer]\nname = 'adam'\n")
    sweep, asked = read_sweep(Path("a/my.toml")), request(Path("a/my.toml"), {}, [])
    assert [point.run for point in sweep.points] == [*asked.runs.values()]
    assert (len(sweep.seeds), sweep.out) == (asked.seeds, asked.out)


FORMS = {
    "quoted": '[grid]\n"network.n" = [4, 8]\n"optimizer" = ["sgd", "adam"]',
    "dotted": 'grid.network.n = [4, 8]\ngrid.optimizer.name = ["sgd", "adam"]',
    "tables": '[grid.network]\nn = [4, 8]\n[grid.optimizer]\nname = ["sgd", "adam"]',
    "rule and task below": '[grid]\nrule = ["rflo"]\ntask = ["add"]\nnetwork.n = [4, 8]\noptimizer = ["sgd", "adam"]',
}


@pytest.mark.parametrize("form", FORMS)
def test_an_axis_may_be_written_as_tables_or_paths(form):
    sweep = swept(FORMS[form], top="steps = 200\n" + ('rule = "rflo"\ntask = "add"\n' if "below" not in form else ""))
    assert {point.run.text() for point in sweep.points} == {
        run(rule="rflo", network={"n": n}, optimizer=name) for n in (4, 8) for name in ("sgd", "adam")
    }


def test_values_that_go_together():
    sweep = swept('rule = "rflo"\n[zip]\ntask.t1 = [3, 5]\ntask.t2 = [5, 9]\n[grid]\nnetwork.n = [4, 8]')
    assert points(sweep) == {("rflo", "add", n, *lags) for n in (4, 8) for lags in ((3, 5), (5, 9))}
    assert {point.run.text() for point in sweep.points} == {
        run(rule="rflo", network={"n": n}, task={"name": "add", "t1": a, "t2": b}) for n in (4, 8) for a, b in ((3, 5), (5, 9))
    }


def test_a_setting_of_one_rule_is_an_axis_of_its_points_alone():
    sweep = swept('rule = ["rflo", "dni", "uoro"]\n[grid]\n"rule.dni.rate" = [1e-3, 1e-2]\nnetwork.n = [4, 8]')
    wanted = {(rule, "add", "-", n) for rule in ("rflo", "uoro") for n in (4, 8)}
    assert points(sweep) == wanted | {("dni", "add", rate, n) for rate in (1e-3, 1e-2) for n in (4, 8)}
    assert {point.run.rule.get("rate") for point in sweep.points} == {None, 1e-3, 1e-2}


def test_only_some_points_have_other_axes_and_settings():
    sweep = swept(
        """task = ["add", "mimic"]
        rule = ["rflo", "dni", "uoro"]
        steps = 200
        [grid]
        optimizer.learning_rate = [1e-3, 1e-2]
        [[only]]
        when = { rule = ["dni", "uoro"], task = "mimic" }
        set = { steps = 300 }
        [[only]]
        when.rule = "dni"
        grid = { "rule.rate" = [0.1, 0.2] }
        [[only]]
        when = { "rule.rate" = 0.2 }
        grid.optimizer.learning_rate = [1e-4]
        """,
        top="",
    )
    assert points(sweep) == (
        {(rule, task, rate, "-") for rule in ("rflo", "uoro") for task in ("add", "mimic") for rate in (1e-3, 1e-2)}
        | {("dni", task, rate, 0.1) for task in ("add", "mimic") for rate in (1e-3, 1e-2)}
        | {("dni", task, 1e-4, 0.2) for task in ("add", "mimic")}
    )
    assert len(sweep.points) == len(points(sweep))
    for point in sweep.points:
        long = point.coordinates["task"] == "mimic" and point.coordinates["rule"] in ("dni", "uoro")
        assert point.run.steps == (300 if long else 200)
        assert point.run.optimizer["learning_rate"] == point.coordinates[RATE]
    columns = sweep.coordinates(range(len(sweep.points)))
    data = xr.Dataset({"loss": ("point", np.zeros(len(sweep.points)))}, columns)
    assert np.isnan(data["rule.rate"]).sum() == 8
    assert data["rule"].dtype.kind == "U"
    xr.testing.assert_identical(data, xr.load_dataset(bytes(data.to_netcdf(engine="h5netcdf")), engine="h5netcdf"))


def test_labelled_rules_and_tasks_and_blocks_with_settings():
    sweep = swept(
        """steps = 200
        [task.short]
        name = "add"
        t2 = 4
        [task.long]
        name = "add"
        [rule.a]
        name = "dni"
        [rule.b]
        name = "dni"
        rate = 0.1
        [grid]
        "rule.jacobian" = ["exact", { name = "learned", rate = 0.5 }]
        """,
        top="",
    )
    assert points(sweep) == {
        (rule, task, jacobian) for rule in "ab" for task in ("short", "long") for jacobian in ("exact", "learned rate=0.5")
    }
    learned = {point.run.rule["jacobian"].get("rate") for point in sweep.points}
    assert learned == {None, 0.5}
    assert {(point.coordinates["task"], point.run.task["t2"]) for point in sweep.points} == {("short", 4), ("long", 5)}


def test_paths_are_seen_from_the_file():
    Path("a/rules").mkdir(parents=True)
    Path("a/rules/own.py").write_text(OWN)
    for name in ("one", "two"):
        np.savez(f"a/{name}.npz", inputs=np.ones((200, 2)), targets=np.ones((200, 2)))
    Path("a/my.toml").write_text(
        'rule = ["rules/own.py", "rflo"]\ntask = "recorded"\nout = "there"\ngrid.task.file = ["one.npz", "two.npz"]\n'
        'observers = ["rules/own.py:Mine"]\n[[only]]\nwhen.rule = "Mine"\nset.steps = 100\n'
    )
    sweep = read_sweep(Path("a/my.toml"))
    assert points(sweep) == {(rule, "recorded", file) for rule in ("Mine", "rflo") for file in ("one.npz", "two.npz")}
    assert {(point.coordinates["rule"], point.run.steps) for point in sweep.points} == {("Mine", 100), ("rflo", 200)}
    assert {point.run.task["file"] for point in sweep.points} == {
        str(Path(f"a/{name}.npz").absolute()) for name in ("one", "two")
    }
    assert sweep.out == Path("a/there")


def test_two_points_of_the_same_run_are_one_run():
    sweep = swept('rule = ["rflo"]\n[grid]\nnetwork.n = [4, 8]\nbin = [100, 50]\n[[only]]\nwhen.network.n = 4\nset.bin = 10')
    assert len(sweep.points) == 3  # the axis bin has one value there
    sweep = swept('[rule]\na = "rflo"\nb = "rflo"\nc = "uoro"')
    assert len(sweep.points) == 3
    assert len(sweep.runs([0, 1, 2])) == 2


SELECT = 'rule = ["rflo", "dni"]\nseeds = 4\n[grid]\noptimizer.learning_rate = [1e-4, 1e-3, 1e-2]\n'
SELECT += f'[[only]]\nwhen.rule = "dni"\ngrid."rule.rate" = [0.1, 0.2]\n[select]\naxis = "{RATE}"\nseeds = 2\n'


def test_a_choice_is_made_for_every_combination_of_the_other_axes_by_seeds_of_its_own():
    sweep = swept(SELECT)
    assert (sweep.seeds, sweep.select.seeds) == (range(4), range(4, 6))
    assert sorted(sweep.candidates) == [*range(9)]
    assert [{sweep.points[k].coordinates.get("rule.rate") for k in group} for group in sweep.groups] == [{None}, {0.1}, {0.2}]
    nan, by_rate = np.nan, {}
    losses = {None: [[1, nan], [3, 3], [2, 4.5]], 0.1: [[nan, nan], [1, nan], [1, nan]], 0.2: [[1, 3], [2, 2], [5, 5]]}
    for group in sweep.groups:
        by_rate |= dict(zip(group, losses[sweep.points[group[0]].coordinates.get("rule.rate")], strict=True))
    final = xr.DataArray([by_rate[k] for k in range(9)][::-1], {"point": range(8, -1, -1), "seed": [4, 5]}, ("point", "seed"))
    choice = choose(sweep, final)
    chosen = [sweep.points[number].coordinates[RATE] for number in choice.points]
    assert chosen == [1e-3, 1e-3, 1e-4]
    assert choice.notes == (
        "rule=dni, task=add, rule.rate=0.1: at every optimizer.learning_rate a selection seed diverged; "
        "optimizer.learning_rate=0.001 is chosen, the first with the fewest, 1 of 2, as at 1 more.",
        "rule=dni, task=add, rule.rate=0.2: 2 values of optimizer.learning_rate are equally good; "
        "optimizer.learning_rate=0.0001 is chosen, the first of them.",
    )
    rates = [sweep.points[number].coordinates[RATE] for number in final.point.values]
    at_end = choose(sweep, xr.zeros_like(final) + xr.DataArray(rates, dims="point"))
    assert at_end.points == tuple(group[0] for group in sweep.groups)
    assert all("the lowest that was tried, so a better one may lie beyond it" in note for note in at_end.notes)
    with pytest.raises(ValueError, match="the result of seed 5 is missing"):
        choose(sweep, final.sel(seed=[4]))
    with pytest.raises(ValueError, match="the result of point 3 is missing"):
        choose(sweep, final.drop_sel(point=3))


def test_where_there_is_nothing_to_choose_nothing_is_tried():
    sweep = swept(SELECT + '[[only]]\nwhen.rule = "rflo"\nset.optimizer.learning_rate = 1e-3')
    assert len(sweep.candidates) == 6
    assert sweep.points[sweep.groups[0][0]].coordinates == {"rule": "rflo", "task": "add", RATE: 1e-3}
    final = xr.DataArray(np.ones((6, 2)), {"point": sweep.candidates, "seed": [4, 5]}, ("point", "seed"))
    assert choose(sweep, final).points[0] == sweep.groups[0][0]


def test_values_that_go_with_the_chosen_ones_are_chosen_with_them():
    sweep = swept(
        'rule = "dni"\n[zip]\noptimizer.learning_rate = [1e-3, 1e-2]\nrule.rate = [0.1, 0.2]\n[select]\naxis="rule.rate"'
    )
    assert sweep.groups == ((0, 1),)
    everything = swept('rule = "dni"\ngrid.rule.rate = [0.1, 0.2]')
    assert choose(everything, xr.DataArray()).points == (0, 1)


def test_the_plan_says_what_is_to_be_computed():
    sweep = swept(SELECT)
    assert plan(sweep, outlook(sweep, 1), 1).splitlines()[:10] == [
        "my: 9 points",
        "  rule: rflo, dni",
        "  task: add",
        "  optimizer.learning_rate: 0.0001, 0.001, 0.01",
        "  rule.rate (only 6 points): 0.1, 0.2",
        "1. to choose optimizer.learning_rate by final_loss",
        "   9 runs on seeds 4 to 5: 18 cells, 3,600 steps",
        "   18 to compute in 2 jobs, roughly 10 seconds of one core",
        "2. to report",
        "   3 runs on seeds 0 to 3: 12 cells, 2,400 steps",
    ]
    one = swept('[rule]\na = "rflo"\nb = "rflo"\n[grid]\nnetwork.alpha = [0.1, 0.2]\n')
    assert "   2 runs on seeds 0 to 19: 40 cells, 8,000 steps" in plan(one, outlook(one, 1), 1).splitlines()


def test_the_fair_figure_is_the_paper_s_at_nine_rates():
    sweep = read_sweep(SWEEPS / "fair_fig1.toml")
    rates = sweep.axes[RATE]
    assert (len(rates), len(sweep.points), len(sweep.groups)) == (9, 108, 12)
    assert (sweep.seeds, sweep.select.seeds) == (range(20), range(20, 25))
    at_paper_rate = {point.run.text() for point in sweep.points if point.coordinates[RATE] == 1e-4}
    assert at_paper_rate == {run.text() for run in fig1.runs("written", 1_000_000).values()}


def test_values_that_are_data_are_traced_once_and_each_is_checked(monkeypatch):
    traced = []
    monkeypatch.setattr(settings, "Trainer", lambda *given, **named: traced.append(given) or Trainer(*given, **named))
    rates = [round(0.01 * k, 2) for k in range(50)]
    sweep = swept(f'rule = "dni"\n[grid]\nrule.rate = {rates}\nnetwork.alpha = [0.3, 0.5, 1.0]\n')
    assert len(sweep.points) == 150
    assert len(traced) == 4  # 0 and 1, which a program may do without, are traced for themselves
    with pytest.raises(ValueError, match=r"for .*rule.rate=-0.1: .*rate"):
        swept(f'rule = "dni"\n[grid]\nrule.rate = {[*rates, -0.1]}\n')


@pytest.mark.slow
def test_a_thousand_points_are_read_in_seconds():
    began = time.process_time()
    sweep = swept(
        'rule = ["rflo", "uoro", "fixed_w", "rtrl"]\n[grid]\nnetwork.n = [4, 8, 16, 32, 64]\nbin = [10, 20, 30, 40, 50]\n'
        "optimizer.learning_rate = [1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]"
    )
    assert len(sweep.points) == 1000
    assert time.process_time() - began < 30  # 80 times what each point needs by itself would be 80 s
