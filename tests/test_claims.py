"""The claims, judged on final losses made up so that the answer is known."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from recredit.runs.final_loss import averaged, final_loss
from recredit.studies.claims import CLAIMS, compare, equivalence, judge

# Final losses for which each of the paper's sentences is true, in the paper's order.
TRUE = {"fixed-W": 0.60, "BPTT": 0.46, "RTRL": 0.46, "RFLO": 0.50, "DNI": 0.49, "DNI(b)": 0.51}
CLOSER, BETWEEN, DNI_B, MUCH = CLAIMS


def finals(seeds=20, tasks=("Add",), noise=0.003, **levels):
    """Final losses (task, rule, seed): the levels, with a noise per seed and rule."""
    levels = TRUE | {name.replace("DNI_b", "DNI(b)").replace("_", "-"): level for name, level in levels.items()}
    rng = np.random.default_rng(1)
    values = np.array(list(levels.values()))[None, :, None] + noise * rng.normal(size=(len(tasks), len(levels), seeds))
    return xr.DataArray(values, dims=("task", "rule", "seed"), coords={"task": list(tasks), "rule": list(levels)})


def verdicts(final):
    return {entry["claim"]: entry["verdict"] for entry in judge(final)["claims"]}


def test_losses_in_the_papers_order_support_every_claim_on_every_task():
    judged = judge(finals(tasks=("Add", "Mimic")))
    assert [(entry["task"], entry["claim"]) for entry in judged["claims"]] == [(t, c) for t in ("Add", "Mimic") for c in CLAIMS]
    assert {entry["verdict"] for entry in judged["claims"]} == {"supported"}
    assert judged["diverged"] == {}
    assert json.loads(json.dumps(judged)) == judged


CASES = {
    "DNI(b) as good as DNI": ({"DNI_b": 0.49}, {DNI_B: "inconclusive"}),
    "DNI(b) better than DNI": ({"DNI_b": 0.48}, {DNI_B: "contradicted"}),
    "DNI(b) better than fixed-W, not much": ({"DNI_b": 0.58}, {MUCH: "contradicted"}),
    "DNI(b) at half of RTRL's advantage": ({"DNI_b": 0.53}, {MUCH: "inconclusive"}),
    "DNI(b) worse than fixed-W": ({"DNI_b": 0.65}, {MUCH: "contradicted"}),
    "RFLO as good as RTRL": ({"RFLO": 0.46}, {CLOSER: "inconclusive", BETWEEN: "inconclusive"}),
    "RFLO better than RTRL": ({"RFLO": 0.45}, {CLOSER: "contradicted", BETWEEN: "contradicted"}),
    "RFLO worse than fixed-W": ({"RFLO": 0.62}, {BETWEEN: "contradicted"}),
    "one of two comparisons fails, the other is open": (
        {"RFLO": 0.45, "DNI": 0.46},
        {CLOSER: "contradicted", BETWEEN: "contradicted"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_claim_is_judged_as_it_must_be_and_the_others_stay(case):
    levels, expected = CASES[case]
    assert verdicts(finals(**levels)) == dict.fromkeys(CLAIMS, "supported") | expected


def test_comparisons_are_paired_over_seeds():
    shared = 0.2 * np.random.default_rng(2).normal(size=20)  # hard and easy seeds, far apart
    assert set(verdicts(finals() + xr.DataArray(shared, dims="seed")).values()) == {"supported"}


def test_seeds_that_diverged_are_left_out_in_pairs():
    final = finals()
    final.loc[{"rule": "DNI(b)", "seed": [2, 5]}] = np.nan
    final.loc[{"rule": "DNI", "seed": [5, 7]}] = np.nan
    final.loc[{"rule": "BPTT", "seed": 0}] = np.nan
    judged = judge(final)
    assert judged["diverged"] == {"Add: BPTT": 1, "Add: DNI": 2, "Add: DNI(b)": 2}
    comparison = judged["claims"][list(CLAIMS).index(DNI_B)]["comparisons"]["DNI(b) - DNI"]
    kept = np.setdiff1d(np.arange(20), [2, 5, 7])
    difference = (final.sel(rule="DNI(b)") - final.sel(rule="DNI")).values[0, kept]
    assert (comparison["seeds"], comparison["excluded"]) == (17, 3)
    assert comparison["difference"] == pytest.approx(difference.mean(), rel=1e-12)
    assert comparison["p"] == pytest.approx(scipy.stats.wilcoxon(difference).pvalue, rel=1e-12)
    assert judged["claims"][0]["comparisons"]["RFLO - BPTT"]["seeds"] == 19
    assert {entry["verdict"] for entry in judged["claims"]} == {"supported"}


@pytest.mark.parametrize("seeds", [2, 5, 20])
def test_the_interval_brackets_the_mean_and_is_as_wide_as_two_standard_errors(seeds):
    values = np.random.default_rng(seeds).normal(0.3, 1, seeds)
    result = compare(values)
    low, high = result["interval"]
    assert low <= result["difference"] <= high
    assert min(values) <= low < high <= max(values)
    assert result["difference"] == pytest.approx(values.mean(), rel=1e-12)
    if seeds == 20:
        assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(20), rel=0.05)
        assert compare(-values)["interval"] == pytest.approx([-high, -low], abs=0.05)


def test_the_same_losses_are_judged_the_same_twice():
    assert judge(finals(noise=0.1)) == judge(finals(noise=0.1))


@pytest.mark.parametrize(
    "values", [[1.0, 1.0], [0.5, 0.7], [1.0] * 5, [0.0] * 20, [1.0, np.nan, np.inf], [np.nan] * 3, []], ids=str
)
def test_few_or_equal_seeds_are_never_conclusive(values):
    result = compare(np.array(values, float))
    assert result["verdict"] == "inconclusive"
    assert result["p"] is None or 0.05 <= result["p"] <= 1
    json.dumps(result, allow_nan=False)


def test_one_seed_gives_no_interval_and_no_verdict():
    judged = judge(finals(seeds=1))
    assert {entry["verdict"] for entry in judged["claims"]} == {"inconclusive"}
    results = [result for entry in judged["claims"] for result in entry["comparisons"].values()]
    assert all(result["interval"] is result["p"] is result["difference"] is None for result in results)


def test_six_seeds_that_all_agree_are_enough_and_five_are_not():
    assert [compare(np.arange(1.0, n + 1))["verdict"] for n in (5, 6)] == ["inconclusive", "supported"]


@pytest.mark.parametrize("variant", ["written", "published"])
def test_the_reproduced_curves_are_judged_as_their_page_says(variant):
    folder = Path(__file__).parent.parent / "reproduce" / f"fig1-{variant}"
    curves = xr.load_dataset(folder / "curves.nc", engine="h5netcdf")
    assert averaged(curves.step) == "the last 100,000 of 1,000,000 steps"
    assert json.loads(json.dumps(judge(final_loss(curves)))) == json.loads((folder / "claims.json").read_text())


@pytest.mark.parametrize(
    ("level", "noise", "expected"),
    [
        (0.501, 0.0005, "equivalent"),  # 1 % of the gap of 0.1
        (0.499, 0.0005, "equivalent"),
        (0.501, 0.01, "inconclusive"),
        (0.51, 0.001, "worse"),
        (0.49, 0.001, "better"),
        (0.503, 0.002, "worse"),  # it is not 0, and may be more than 3 %
    ],
)
def test_losses_are_equivalent_within_a_part_of_the_gap(level, noise, expected):
    rng = np.random.default_rng(0)
    spread = rng.normal(size=20)
    other, worst = 0.5 + 0.05 * rng.normal(size=20), np.full(20, 0.6)
    told = equivalence(other + (level - 0.5) + noise * (spread - spread.mean()), other, worst)
    assert told["verdict"] == expected
    gap = 0.6 - other.mean()
    assert told["gap"] == pytest.approx(gap)
    assert told["of the gap"][0] == pytest.approx((level - 0.5) / gap)


def test_without_a_gap_or_seeds_nothing_is_equivalent():
    same = np.full(5, 0.5)
    assert equivalence(same, same, same)["verdict"] == "no gap"
    assert equivalence(np.full(5, np.nan), same, same + 1)["verdict"] == "inconclusive"
