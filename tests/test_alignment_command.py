"""`recredit alignment`: what it writes, prints, refuses and goes on from."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from commands import refused

from recredit import load
from recredit.cli.main import main
from recredit.network import Network
from recredit.registry import resolve_rule
from recredit.report.alignment import remarks, short
from recredit.studies.alignment import PAPER, alignment, alignment_request, exact_label
from recredit.training.loop import train


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def command(*more):
    return [
        "alignment",
        *more,
        "--task",
        "add",
        "--steps",
        "40",
        "--seeds",
        "2",
        "--set",
        "network.n=4",
        "rule.f_bptt.window=3",
    ]


def succeeds(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code


FILE = """
task = "add"
steps = 100
network.n = 4
driver = "short"
draws = 3

[rule.short]
name = "f_bptt"
window = 3

[rule.long]
name = "f_bptt"
window = 6

[rule.uoro]
name = "uoro"
"""


def test_labels_and_settings_of_a_file_name_rules_and_driver():
    Path("it.toml").write_text(FILE)
    asked, left_out = alignment_request(Path("it.toml"), {"draws": 4}, ["rule.long.window=8"])
    (run,) = asked.runs.values()
    assert [*asked.runs] == ["short"]
    assert (run.rule["window"], {label: table.get("window") for label, table in run.observers.items()}) == (
        3,
        {"long": 8, "uoro": None},
    )
    assert (run.pairs, run.draws, asked.out, left_out) == ("all", 4, Path("results/alignment-add-short"), [])


def test_by_default_the_paper_s_rules_watch_but_for_those_that_are_not_for_the_network():
    (run,) = alignment_request(None, {"task": "add"}, ["network.n=4"])[0].runs.values()
    assert sorted([run.rule["name"], *run.observers]) == sorted(PAPER)
    assert (run.rule["name"], run.draws) == ("rtrl", 16)
    asked, left_out = alignment_request(None, {"task": "add", "driver": "rflo"}, ["network.units=gru", "network.n=4"])
    (run,) = asked.runs.values()
    assert {*PAPER} - {"rflo", *run.observers} == {"kernl", "dni_b"}
    assert left_out[0].startswith("kernl is left out: KeRNL is for units of one state variable")


REFUSED = {
    'rule "rtrll" is unknown; .* Did you mean "rtrl"': ("rflo", "--driver", "rtrll"),
    'rule "rfloo" is unknown; .* Did you mean "rflo"': ("rfloo",),
    "the number of draws must be 0, or at least 2": ("rflo", "f_bptt", "--draws", "1"),
    "the rule rflo is given twice": ("rflo", "rflo"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(message, capfd):
    assert re.search(message, refused(capfd, *command(*REFUSED[message])))


def test_observers_are_no_part_of_it():
    Path("it.toml").write_text('observers = ["rflo"]')
    with pytest.raises(ValueError, match=r'a run has no part "observers"; its parts: .*driver, draws'):
        alignment_request(Path("it.toml"), {"task": "add"}, [])


def test_bias_is_told_beside_an_exact_rule_alone():
    def exact(**rules):
        return exact_label({label: resolve_rule(table) for label, table in rules.items()})

    random, learned = {"name": "rtrl", "feedback": "random"}, {"name": "rtrl", "jacobian": "learned"}
    assert exact(rflo={"name": "rflo"}, random=random, learned=learned) is None
    assert exact(random=random, block={"name": "rtrl_block", "block": 8}, rtrl={"name": "rtrl"}) == "block"
    assert exact(learned=learned, through={"name": "rtrl", "jacobian": "through_weights"}) == "through"


@pytest.mark.slow
def test_it_writes_a_run_a_map_and_tables_and_a_second_call_computes_nothing(capfd):
    succeeds(command("fixed_w", "rflo", "f_bptt", "uoro", "--draws", "3", "--style", "paper"))
    folder = Path("results/alignment-add-rtrl")
    told, data = capfd.readouterr().out, xr.load_dataset(folder / "run.nc")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("alignment.pdf", "alignment.png", "alignment.svg", "cells", "lock", "progress.json", "run.nc", "states")
    ]
    assert all((folder / f"alignment.{kind}").stat().st_size > 15_000 for kind in ("png", "svg", "pdf"))
    labels = ["rtrl", "fixed_w", "rflo", "f_bptt", "uoro"]
    assert data.gradient.values.tolist() == data.beside.values.tolist() == labels
    assert all(data[name].attrs["long_name"] for name in data.variables)
    assert json.loads(data.attrs["runs"])["rtrl"]["draws"] == 3
    one = data.sel(rule="rtrl")
    xr.testing.assert_allclose(again := alignment(data), one[[*again.data_vars]])
    for words in ("Cosine of the gradients for W", "Beside rtrl's gradient", "fixed_w: its gradient is 0 at every step"):
        assert words in told
    cells = {path: path.read_bytes() for path in (folder / "cells").iterdir()}
    succeeds(command("fixed_w", "rflo", "f_bptt", "uoro", "--draws", "3"))
    assert {path: path.read_bytes() for path in (folder / "cells").iterdir()} == cells
    net = load(folder)["rtrl"][0]  # it is a run
    np.testing.assert_array_equal(net.W, one.W.isel(seed=0))
    alone = train("rtrl", "add", network=Network(n=4), seeds=2, steps=40)
    np.testing.assert_allclose(alone.loss, one.loss, rtol=1e-5)  # in another precision


def test_numbers_in_the_map_are_short_and_what_is_missing_is_told():
    values = (0.984, -0.1, -0.001, 1, 12.3, 0.996, 30_000)
    assert [short(value) for value in values] == [".98", "-.10", ".00", "1", "12", "1", "3e4"]
    shape = ("gradient", "beside", "seed", "step")
    compared = np.array([[10, 0, 0], [0, 8, 0], [0, 0, 0]])[..., None, None]
    lost = np.array([[0, 0, 0], [0, 2, 0], [0, 0, 0]])[..., None, None]
    at = np.where(lost[..., 0] > 0, 25, -1)
    data = xr.Dataset(
        {"compared": (shape, compared), "not_finite": (shape, lost), "not_finite_at": (shape[:3], at)},
        coords={"gradient": ["a", "b", "c"], "beside": ["a", "b", "c"]},
    ).expand_dims(part=["W"])
    assert [*remarks(data)] == [
        "b: 2 of its 10 gradients are left out because they are not finite, from step 25 on.",
        "c: its gradient is 0 at every step, so there is nothing to compare.",
        "No step has gradients of both a and b.",
    ]
