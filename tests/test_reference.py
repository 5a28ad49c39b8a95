"""The published author's own program, run on a small Add problem, step by step (tests/data/README.md)."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recredit.blocks.feedback import RandomFeedback
from recredit.blocks.jacobian import LearnedJacobian, ThroughWeights
from recredit.network import LeakyRNN, Network
from recredit.rules import DNI, EBPTT, FBPTT, RFLO, RTRL, DNIb, FixedW, RTRLBlock
from recredit.tasks import Recorded
from recredit.training.step import Learner, Trainer, weights

pytestmark = pytest.mark.equations

DATA = np.load(Path(__file__).parent / "data" / "author_add_n8_alpha0.5.npz")
RATE, LEARNED = float(DATA["eta_A"]), LearnedJacobian(float(DATA["eta_J"]))
RUNS = [
    ("fixed_w", FixedW()),
    ("rtrl", RTRL()),
    ("rtrl", RTRL(ThroughWeights())),
    ("rtrl", RTRLBlock(block=7)),
    ("rflo", RFLO()),
    ("rflo_random_feedback", RFLO(RandomFeedback())),
    ("f_bptt_10", FBPTT(window=10)),
    ("e_bptt_10", EBPTT(window=10)),
    ("dni", DNI(RATE, refresh=5)),
    ("dni_b", DNIb(RATE, refresh=5, jacobian=LEARNED)),
    ("dni_b_random_feedback", DNIb(RATE, refresh=5, jacobian=LEARNED, feedback=RandomFeedback())),
]


@pytest.mark.parametrize(("run", "rule"), RUNS, ids=[f"{run}-{type(rule).__name__}" for run, rule in RUNS])
def test_trajectory_of_the_authors_program(run, rule):
    W = np.concatenate([DATA["W_rec"], DATA["W_in"], DATA["b_rec"].reshape(-1, 1)], axis=1)
    net = LeakyRNN(*map(jnp.array, (W, DATA["W_out"], DATA["b_out"].ravel())), float(DATA["alpha"]), "tanh", "softmax")
    state = rule.init(net, jax.random.key(0))
    if run.startswith("dni"):
        state = eqx.tree_at(lambda s: (s.A, s.A_frozen), state, (jnp.array(DATA["A0"]),) * 2)
    if run.endswith("random_feedback"):
        state = eqx.tree_at(lambda s: s.feedback, state, jnp.array(DATA["W_FB"]))
    trainer = Trainer((rule,), Recorded(DATA["X"], DATA["Y"], "softmax"), Network(n=8), optax.sgd(float(DATA["lr"])))
    key = jax.random.key(0)
    learner = Learner(net, jnp.zeros(8), trainer.optimizer.init(weights(net), key), (state,), None, key)
    step, losses, grads = jax.jit(lambda *sample: trainer.step(*sample)), [], []
    for t, (x, y) in enumerate(zip(DATA["X"], DATA["Y"], strict=True)):
        learner, loss, (G,) = step(learner, t, jnp.array(x), jnp.array(y))
        losses.append(loss)
        grads.append(G)

    np.testing.assert_allclose(losses, DATA[f"{run}/loss"], rtol=1e-12)
    np.testing.assert_allclose(grads, DATA[f"{run}/grad_W"], rtol=0, atol=1e-10)
    net, n = learner.net, 8
    final = {"W_rec": net.W[:, :n], "W_in": net.W[:, n:-1], "b_rec": net.W[:, -1], "W_out": net.W_out, "b_out": net.b_out}
    if run.startswith("dni"):
        final["A"] = learner.states[0].A
    if run.startswith("dni_b"):
        final["J"] = learner.states[0].jacobian
    assert {f"{run}/final_{name}" for name in final} == {key for key in DATA if key.startswith(f"{run}/final")}
    for name, value in final.items():
        np.testing.assert_allclose(value, DATA[f"{run}/final_{name}"].reshape(value.shape), rtol=0, atol=1e-10)
