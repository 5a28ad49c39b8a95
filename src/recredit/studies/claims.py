"""The paper's empirical sentences about Fig. 1, each as paired comparisons over seeds: computed, never asserted."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats

from recredit.runs.final_loss import summary

if TYPE_CHECKING:
    import xarray as xr

EXACT, APPROXIMATE = ("BPTT", "RTRL"), ("RFLO", "DNI", "DNI(b)")
Losses = dict[str, np.ndarray]

# Each claim: the paper's sentence, and what must be positive for it to hold, per seed, from the final losses of that seed.
CLAIMS: dict[str, tuple[str, dict[str, Callable[[Losses], np.ndarray]]]] = {
    "exact methods are best": (
        "training loss for RFLO and DNI is worse than the optimal solutions (BPTT and RTRL)",
        {f"{a} - {e}": lambda loss, a=a, e=e: loss[a] - loss[e] for a in APPROXIMATE for e in EXACT},
    ),
    "RFLO and DNI lie between the exact methods and fixed-W": (
        "RFLO and DNI is worse than the optimal solutions (BPTT and RTRL), but both beat the fixed-W performance lower bound",
        {f"{a} - {e}": lambda loss, a=a, e=e: loss[a] - loss[e] for a in ("RFLO", "DNI") for e in EXACT}
        | {f"fixed-W - {a}": lambda loss, a=a: loss["fixed-W"] - loss[a] for a in ("RFLO", "DNI")},
    ),
    "DNI(b) is worse than DNI": (
        "DNI(b) performs worse than original DNI",
        {"DNI(b) - DNI": lambda loss: loss["DNI(b)"] - loss["DNI"]},
    ),
    "DNI(b) is much better than fixed-W": (
        "but still much better than the fixed-W baseline",
        {
            "fixed-W - DNI(b)": lambda loss: loss["fixed-W"] - loss["DNI(b)"],
            "(fixed-W - DNI(b)) - (fixed-W - RTRL) / 2": lambda loss: (
                loss["fixed-W"] - loss["DNI(b)"] - (loss["fixed-W"] - loss["RTRL"]) / 2
            ),
        },
    ),
}
METHOD = (
    "Final loss: mean of the last tenth of the bins. Each comparison is a difference per seed that the claim says is positive, "
    "over the seeds in which neither rule diverged: its mean, a 95 % bootstrap interval of the mean (10^4 resamples, "
    "percentile) and the two-sided Wilcoxon signed-rank p. supported: the interval lies above 0 and p < 0.05; contradicted: "
    "below 0 and p < 0.05; else inconclusive. A claim is supported if all of its comparisons are, contradicted if any is. "
    "'Much better' is read as: at least half of RTRL's advantage over fixed-W."
)


def compare(difference: np.ndarray) -> dict[str, Any]:
    """A paired comparison from the difference per seed (nan: diverged): mean, interval, p and verdict."""
    finite = difference[np.isfinite(difference)]
    result: dict[str, Any] = {"seeds": len(finite), "excluded": len(difference) - len(finite)}
    if len(finite) < 2:
        return result | {"difference": None, "interval": None, "p": None, "verdict": "inconclusive"}
    rng = np.random.default_rng(0)
    means = rng.choice(finite, (10_000, len(finite))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ties and zeros: SciPy falls back to the normal approximation, as it should
        p = float(np.asarray(scipy.stats.wilcoxon(finite))[1]) if finite.any() else 1.0
    sure = p < 0.05
    verdict = "supported" if sure and low > 0 else "contradicted" if sure and high < 0 else "inconclusive"
    return result | {"difference": float(finite.mean()), "interval": [float(low), float(high)], "p": p, "verdict": verdict}


MARGIN = 0.03
"""Of the gap between fixed-W and RTRL, within which two final losses are held to be the same."""


def equivalence(one: np.ndarray, other: np.ndarray, worst: np.ndarray, margin: float = MARGIN) -> dict[str, Any]:
    """Whether a rule's final losses (a seed each) equal another's, within `margin` of the gap from the other's to the worst's.

    "equivalent": the 95 % interval of the mean difference lies within the margin on either side; "better" or "worse": it lies
    beyond 0, and not within; else "inconclusive". By `compare`, over seeds in which neither diverged; with the gap, and the
    difference and its interval as parts of it. "no gap": the worst is not worse than the other, and so no measure of anything.
    """
    told = compare(one - other)
    told["gap"] = gap = float(np.nanmean(worst) - np.nanmean(other))
    verdict, parts = "inconclusive" if gap > 0 else "no gap", None
    if told["interval"] is not None and gap > 0:
        parts = [each / gap for each in (told["difference"], *told["interval"])]
        _, low, high = parts
        if -margin <= low and high <= margin:
            verdict = "equivalent"
        elif low > 0 or high < 0:
            verdict = "worse" if low > 0 else "better"
    return told | {"of the gap": parts, "verdict": verdict}


def judge(final: xr.DataArray) -> dict[str, Any]:
    """Every claim on every task, from the final losses (task, rule, seed), and those losses' means and standard errors."""
    judged: dict[str, Any] = {"method": METHOD, "claims": [], "final_loss": summary(final)}
    for task in final.task.values:
        losses = {str(rule): final.sel(task=task, rule=rule).values for rule in final.rule.values}
        for claim, (sentence, comparisons) in CLAIMS.items():
            results = {name: compare(difference(losses)) for name, difference in comparisons.items()}
            verdicts = {result["verdict"] for result in results.values()}
            whole = (
                "contradicted" if "contradicted" in verdicts else "supported" if verdicts == {"supported"} else "inconclusive"
            )
            entry = {"task": str(task), "claim": claim, "sentence": sentence, "verdict": whole, "comparisons": results}
            judged["claims"].append(entry)
    seeds = final.sizes["seed"]
    lost = {
        f"{task}: {rule}": seeds - of["seeds"] for task, rules in judged["final_loss"].items() for rule, of in rules.items()
    }
    judged["diverged"] = {cell: count for cell, count in lost.items() if count > 0}
    return judged
