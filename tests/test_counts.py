"""Speed guarded without a clock: what the compiler counts in one step of every rule.

Each rule, as it comes, drives one `Trainer.step` of one seed on Add in float32, compiled for the processor. XLA's counts of its
operations and of the bytes they read and write must stay near those in `data/counts.json`. After a change meant to move them,
run `python tests/test_counts.py` to write that file anew.

XLA counts a loop's body once, however often it runs (the window of e_bptt, rtrl_block's loops), and of a
conditional the dearer branch, however rarely it is taken (e_bptt). So rtrl_block's counts are of a step that advances the
influence, n^3 m, and not of its mean step. No count says how fast an operation runs, or what vectorising over seeds adds.
"""

import json
import math
import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from each import EACH_RULE, PAPERS
from oracles import noise_for

from recredit import RULES, TASKS, audit
from recredit.audit.account.symbolic import order
from recredit.network import Network
from recredit.rules.rflo import RFLO, RFLOState
from recredit.training.step import Trainer

pytestmark = pytest.mark.equations

FILE = Path(__file__).parent / "data" / "counts.json"
N = 32
KINDS = ("flops", "bytes accessed")
EXPONENT = dict.fromkeys(PAPERS, 2) | {"kf_rtrl": 3, "r_kf": 3, "ok_rtrl": 3, "rtrl": 4, "rtrl_block": 3.9}
EXPONENT |= {"node_perturbation": 1.9, "miconi": 1.9}
"""Of n in the operations of a step as counted; terms of lower order make it smaller between 32 and 64 units. Of other rules the
audit's, with the network's own n^2."""
TEMPORARIES = dict.fromkeys(RULES, 2) | {"f_bptt": 7, "p_bptt": 7, "ok_rtrl": 2.5}
TEMPORARIES |= {"weight_perturbation": 2.2, "random_walk": 2.2}
"""The most bytes of temporaries over bytes of the learner. The windows have all their Jacobians at hand at once."""
LARGEST = dict.fromkeys(RULES, 1) | {"ok_rtrl": 5 / 4}
"""The largest array, even within a fusion, over the larger of W and the largest of the state; r + 1 terms lie side by side."""
SHAPE = re.compile(r"\b(?:pred|bf16|[suf]\d+)\[([\d,]+)\]")


def counts(rule, n):
    """Of one compiled step: XLA's counts, bytes of temporaries and of the learner, numbers in the largest array and allowed."""
    with jax.enable_x64(False), jax.default_device(jax.devices("cpu")[0]):
        trainer = Trainer((rule,), TASKS["add"](), Network(n=n, noise=noise_for(rule)), optax.sgd(1e-4))
        learner = eqx.filter_eval_shape(trainer.start, 0)
        sample = [jax.ShapeDtypeStruct((size,), jnp.float32) for size in (trainer.task.n_in, trainer.task.n_out)]
        step = jax.jit(lambda *now: trainer.step(*now)[:2], donate_argnums=0)  # in place, as in a run
        compiled = step.lower(learner, jax.ShapeDtypeStruct((), jnp.int32), *sample).compile(
            {"xla_backend_optimization_level": 1}
        )
    arrays = jax.tree.leaves((learner.net, learner.s, learner.states))
    assert {leaf.dtype.name for leaf in arrays} <= {"float32", "int32"}
    return {kind: compiled.cost_analysis()[kind] for kind in KINDS} | {
        "temporaries": compiled.memory_analysis().temp_size_in_bytes,
        "learner": sum(leaf.size * leaf.dtype.itemsize for leaf in arrays),
        "largest": max(math.prod(map(int, shape.split(","))) for shape in SHAPE.findall(compiled.as_text())),
        "allowed": max(leaf.size for leaf in arrays),
    }


def grown(small, large):
    """The exponent of n in the operations, from n = 32 to 64."""
    return math.log2(large["flops"] / small["flops"])


def moved(now, kept, tolerance):
    """The counts further from those kept than is tolerated: kept and now."""
    return {kind: (kept[kind], now[kind]) for kind in KINDS if abs(now[kind] / kept[kind] - 1) > tolerance}


@pytest.mark.parametrize("name", EACH_RULE)
def test_a_step_costs_what_it_did_and_grows_as_it_should(name):
    kept = json.loads(FILE.read_text())
    small, large = (counts(RULES[name](), n) for n in (N, 2 * N))
    if jax.__version_info__ >= (0, 10, 2):  # before, XLA counts fewer bytes of the rules with a window
        assert not moved(small, kept["counts"].get(name, small), kept["tolerance"])  # a new rule's are not kept yet
    exponent = EXPONENT.get(name) or max(2, order(audit(RULES[name](), measure=False).multiplications))
    assert exponent - 0.35 < grown(small, large) < exponent + 0.05
    for now in (small, large):
        assert now["largest"] <= LARGEST[name] * now["allowed"]
        assert now["temporaries"] <= TEMPORARIES[name] * now["learner"]


def test_what_is_kept_is_of_the_rules_in_their_order():
    kept = json.loads(FILE.read_text())["counts"]
    assert [name for name in RULES if name in kept] == list(kept)


class DiagonalMatrix(RFLO):
    """RFLO whose rows are scaled by a product with a diagonal matrix."""

    def update(self, net, step, state, key):
        _, after = super().update(net, step, state, key)
        c_bar = self.feedback(net, step, state.feedback)
        return jnp.diag(c_bar) @ after.B, after


class WholeInfluence(RFLO):
    """RFLO that builds the influence its traces stand for."""

    def update(self, net, step, state, key):
        _, after = super().update(net, step, state, key)
        M = jnp.eye(net.n)[:, :, None] * after.B
        return jnp.tensordot(self.feedback(net, step, state.feedback), M, axes=1), RFLOState(after.B, after.feedback)


@pytest.mark.parametrize("slower", [DiagonalMatrix, WholeInfluence])
def test_a_slower_program_of_the_same_rule_is_seen(slower):
    kept = json.loads(FILE.read_text())
    small, large = (counts(slower(), n) for n in (N, 2 * N))
    assert set(moved(small, kept["counts"]["rflo"], kept["tolerance"])) == set(KINDS)
    assert grown(small, large) > EXPONENT["rflo"] + 0.5
    assert (small["largest"] > small["allowed"]) == (slower is WholeInfluence)


if __name__ == "__main__":
    about = "By `python tests/test_counts.py`, JAX {}: XLA's counts in one step of one seed on Add, n = {}, float32, processor."
    found = {name: counts(make(), N) for name, make in RULES.items()}
    kept = {
        "about": about.format(jax.__version__, N),
        "tolerance": 0.1,  # from JAX 0.10.2 to 0.12.0.1, flops change by 0.3 % at most, bytes by 0.4 %
        "counts": {name: {kind: round(now[kind]) for kind in KINDS} for name, now in found.items()},
    }
    FILE.write_text(re.sub(r"\{\s+(\"flops.*),\s+(\"bytes.*)\s+\}", r"{\1, \2}", json.dumps(kept, indent=2)) + "\n")
