"""Feedback weights that learn become those of the read-out; none of them asks for the read-out's weights run backwards."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_units import close, played, problem

import recredit
from recredit.blocks.feedback import (
    BroadcastFeedback,
    ExactFeedback,
    KolenPollackFeedback,
    RandomFeedback,
    WeightMirrorFeedback,
)
from recredit.network import Network
from recredit.optimizers import resolve_optimizer
from recredit.rules import RFLO
from recredit.tasks import Add
from recredit.training.step import Trainer

RATE, DECAY = 0.5, 0.04


def distances(feedback, optimizer, steps, network=None):
    """W_FB - W_out before each step of a run, and W_out before its first and last."""
    network = network or Network(n=6)
    trainer = Trainer((RFLO(feedback),), Add(), network, resolve_optimizer(optimizer, network.n))

    @eqx.filter_jit
    def go():
        learner = trainer.start(0)
        _, sample = trainer.chunk(learner.stream, jnp.array(0), steps)

        def body(learner, now):
            told = learner.states[0].feedback - learner.net.W_out, learner.net.W_out
            return trainer.step(learner, *now)[0], told

        return jax.lax.scan(body, learner, (jnp.arange(steps), sample.x, sample.target))[1]

    return go()


@pytest.mark.parametrize("units", [None, {"name": "gru"}])
def test_kolen_pollack_feedback_converges_to_the_read_outs_weights(units):
    network = recredit.registry.resolve_network({"n": 6} if units is None else {"n": 6, "units": units})
    optimizer = {"name": "sgd", "learning_rate": RATE, "weight_decay": DECAY} | dict.fromkeys(("W_rec", "W_in", "b_rec"), 0)
    distance, W_out = distances(KolenPollackFeedback(RATE, DECAY), optimizer, 600, network)
    expected = (1 - RATE * DECAY) ** jnp.arange(600)[:, None, None] * distance[0]
    close(distance, expected)
    assert abs(distance[-1]).max() < 1e-4
    assert abs(W_out[-1]).max() > 0.02  # which has not decayed with it
    assert abs(W_out[-1] - W_out[0]).max() > 0.1


def test_without_the_read_outs_weight_decay_it_does_not():
    distance, _ = distances(KolenPollackFeedback(RATE, DECAY), {"name": "sgd", "learning_rate": RATE}, 600)
    assert abs(distance[-1]).max() > 0.1


def test_a_weight_mirrors_mean_is_the_read_outs_weights():
    rate = 0.01
    distance, W_out = distances(WeightMirrorFeedback(rate), {"name": "sgd", "learning_rate": 0.0}, 10_000)
    late = distance[2000:]
    assert abs(distance[0]).max() > 0.3
    n = W_out.shape[-1]
    sd = np.sqrt(rate / 2 * (abs(W_out[0]) ** 2).sum(1).max())  # stationary, of each weight: of one product rate / (2 - rate)
    assert 0.5 * sd < np.sqrt((late**2).mean((0, 2))).max() < 1.5 * sd
    assert abs(late.mean(0)).max() < 5 * sd * np.sqrt(2 / (rate * len(late)))
    noise = jax.random.normal(jax.random.key(0), (20_000, n))  # the product of which its mean is made
    close(np.mean([np.outer(W_out[0] @ one, one) for one in np.asarray(noise)], 0), W_out[0], 0.05)


def test_a_mirrors_noise_is_not_the_rules():
    """The mirror's noise is not what the step's key gives, of which a rule draws."""
    net, s, x, y = problem("gru")
    step = jax.tree.map(lambda a: a[0], played(net, s, x, y))
    key = jax.random.key(5)
    block = WeightMirrorFeedback(1.0)
    state = block.learn(net, step, block.init(net, key), key)
    drawn = jax.random.normal(key, state.shape[1:], state.dtype)
    assert abs(state - jnp.outer(net.W_out @ drawn, drawn)).max() > 0.1
    assert jnp.linalg.matrix_rank(state) == 1


@pytest.mark.parametrize("kind", ["leaky", "lstm", "alif"])
def test_all_feedback_is_the_error_through_weights_of_the_read_outs_shape(kind):
    net, s, x, y = problem(kind)
    step = jax.tree.map(lambda a: a[-1], played(net, s, x, y))
    slope = jax.jacfwd(net.out)(step.state)
    for block in (ExactFeedback(), RandomFeedback(), BroadcastFeedback(), KolenPollackFeedback(), WeightMirrorFeedback()):
        state = block.init(net, jax.random.key(0))
        weights = block.weights(net, state)
        assert weights.shape == net.W_out.shape
        close(block(net, step, state), step.error @ weights @ slope)
    broadcast = BroadcastFeedback()
    weights = broadcast.weights(net, broadcast.init(net, jax.random.key(0)))
    assert jnp.ptp(weights, axis=1).max() == 0 < abs(weights).min()


@pytest.mark.parametrize("name", ["random", "broadcast", "kolen_pollack", "weight_mirror"])
def test_the_audit_sees_no_weight_transport(name):
    for feedback, transported in ((name, False), ("exact", True)):
        found = recredit.audit(recredit.registry.resolve_rule({"name": "rflo", "feedback": feedback}), measure=False)
        assert any("W_out is used backwards" in note for note in found.notes) == transported
        assert found.verdict("ii-local") == "pass"
