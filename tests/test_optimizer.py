"""Any optax optimiser: what it leaves alone, whose noise it has, when it steps, and what it cannot do."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recredit.network import Network
from recredit.optimizers import complete_optimizer, make_optimizer, optimizers
from recredit.rules import EBPTT, RFLO, FixedW
from recredit.tasks import Add
from recredit.training import optimizer as module
from recredit.training.loop import train
from recredit.training.optimizer import Optimizer
from recredit.training.step import Trainer, weights

TASK, NETWORK = Add(1, 2, 1), Network(n=4)
STEP = eqx.filter_jit(Trainer.step)
WEIGHTS = {"W": jnp.arange(1.0, 13).reshape(3, 4) / 13, "W_out": jnp.ones((1, 3)), "b_out": jnp.ones(1)}
DELAYED = optax.join_schedules([optax.constant_schedule(0.0), optax.constant_schedule(0.1)], [4])
OPTIMIZERS = {name: make_optimizer(complete_optimizer({"name": name, "learning_rate": 0.1}), 3) for name in optimizers()}
OPTIMIZERS |= {
    "an average in fewer bits": optax.adamw(0.1, mu_dtype="bfloat16"),
    "decay of all": optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1, momentum=0.9)),
    "decay from the fifth step on": optax.chain(optax.add_decayed_weights(DELAYED), optax.sgd(0.1)),
    "division of 0 by 0": optax.adam(0.1, eps=0.0),
    "the mean taken off": optax.chain(optax.centralize(), optax.sgd(0.1)),
    "all of W rotated": optax.contrib.muon(0.1, ns_steps=2),
    "drift": optax.chain(optax.sgd(0.1), optax.stateless(lambda updates, params: jax.tree.map(lambda u: u + 1, updates))),
    "schedule-free": optax.contrib.schedule_free_adamw(0.1, weight_decay=0.1),
    "every second step": optax.MultiSteps(optax.adamw(0.1), 2).gradient_transformation(),
    "decay at every fourth step": optax.MultiSteps(optax.adamw(0.1, weight_decay=0.5), 4).gradient_transformation(),
}


@eqx.filter_jit
def taken(optimizer, gradients):
    """The weights after each of some steps, one for each gradient."""

    def step(now, t_gradient):
        t, gradient = t_gradient
        now = optimizer.step(t, gradient, now[1], now[0], jnp.array(1.0))
        return now, now[0]

    steps = jnp.arange(len(gradients["W"])), jax.tree.map(jnp.asarray, gradients)
    return jax.lax.scan(step, (WEIGHTS, optimizer.init(WEIGHTS, jax.random.key(3))), steps)[1]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimiser_moves_a_weight_that_has_had_no_gradient(name):
    rng = np.random.default_rng(0)
    gradients = {key: rng.exponential(size=(8, *array.shape)) for key, array in WEIGHTS.items()}
    still, late = ([0, 1], [0, 2]), ([2], [1])
    gradients["W"][:, *still] = gradients["W"][:6, *late] = gradients["b_out"][:] = 0
    optimizer = Optimizer(OPTIMIZERS[name], WEIGHTS, 1)
    told = taken(optimizer, gradients)
    after, at_six = ({key: array[t] for key, array in told.items()} for t in (7, 5))
    np.testing.assert_array_equal(after["W"][still], WEIGHTS["W"][still])
    np.testing.assert_array_equal(after["b_out"], WEIGHTS["b_out"])
    np.testing.assert_array_equal(at_six["W"][late], WEIGHTS["W"][late])
    assert (after["W"] != WEIGHTS["W"]).sum() == 10
    assert (after["W_out"] != WEIGHTS["W_out"]).all()


def test_only_an_optimiser_that_would_move_them_pays_for_it():
    free = {"adabelief", "adam", "adagrad", "amsgrad", "rmsprop", "rprop", "sgd", "sign_sgd"}
    paid = {"adamw", "fromage", "lamb", "lion", "noisy_sgd", "yogi", "division of 0 by 0", "the mean taken off", "drift"}
    paid |= {"all of W rotated", "decay from the fifth step on", "decay at every fourth step"}
    for name in free | paid:
        assert Optimizer(OPTIMIZERS[name], WEIGHTS, 1).parts[0].moves_all == (name in paid), name


class HalfW(RFLO):
    """RFLO of the first two units only."""

    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return G.at[2:].set(0), state


@pytest.mark.parametrize("rule", [FixedW(), HalfW()], ids=["fixed_w", "half"])
def test_what_a_rule_does_not_learn_stands_still(rule):
    optimizer = optax.chain(optax.add_noise(0.1, 0.5, 1), optax.adamw(0.1, weight_decay=0.1))
    settings = {"network": NETWORK, "seeds": 2, "steps": 12, "bin": 12, "streams": 2}
    data, start = (train(rule, TASK, optimizer=each, **settings) for each in (optimizer, optax.sgd(0.0)))
    learned = 2 if isinstance(rule, HalfW) else 0
    np.testing.assert_array_equal(data.W[:, learned:], start.W[:, learned:])
    assert (data.W[:, :learned] != start.W[:, :learned]).all()
    assert (data.W_out != start.W_out).all()


def own_noise(key):
    def update(gradient, key, params=None):
        drawn = [1e3 * jax.random.normal(jax.random.fold_in(key, i), leaf.shape) for i, leaf in enumerate(gradient.values())]
        return dict(zip(gradient, drawn, strict=True)), jax.random.split(key)[0]

    return optax.GradientTransformation(lambda params: key, update)


NOISES = {
    "optax's": optax.noisy_sgd(1.0, eta=1e6, key=5),
    "with a key of the old kind": own_noise(jax.random.PRNGKey(5)),
    "with a typed key": own_noise(jax.random.key(5)),
}


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_independent_between_seeds(name):
    trainer = Trainer((RFLO(),), TASK, NETWORK, NOISES[name], streams=2)

    @jax.jit
    @jax.vmap
    def moved(seed):
        learner = trainer.start(seed)
        after, _, _ = trainer.step(learner, 0, jnp.ones((2, 2)), jnp.full((2, 2), 0.5))
        return jnp.concatenate(
            [jnp.ravel(a - b) for a, b in zip(*map(jax.tree.leaves, (weights(after.net), weights(learner.net))))]
        )

    noise = np.asarray(moved(jnp.arange(40)))
    assert noise.shape == (40, 28 + 8 + 2)
    between = np.corrcoef(noise) - np.eye(40)
    assert abs(between).max() < 0.75  # of 780 pairs of 38 numbers each: 1 where the noise is the same, 0.16 on average
    assert abs(between).mean() < 0.2
    np.testing.assert_array_equal(noise, moved(jnp.arange(40)))


def test_the_weights_of_a_rule_with_windows_move_at_their_ends_by_one_step_each():
    rate = optax.exponential_decay(0.125, 1, 0.5)  # halved at each step; exact in float32
    optimizer = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(rate, momentum=0.9))
    trainer = Trainer((EBPTT(window=5),), TASK, NETWORK, optimizer)
    learner = trainer.start(0)
    targets = TASK.chunk(learner.stream, jnp.array(0), 20)[1].target
    inputs = jax.random.normal(jax.random.key(1), (20, 2))  # none of them 0, so that all of W has a gradient from the start
    W, memory = learner.net.W, optimizer.init(learner.net.W)
    for t in range(20):
        learner, _, (G,) = STEP(trainer, learner, jnp.array(t), inputs[t], targets[t])
        if t % 5 == 4:
            update, memory = optimizer.update(G, memory, W)
            W = W + update
        np.testing.assert_allclose(learner.net.W, W, rtol=0, atol=1e-14)
    for part, steps in zip(learner.optimizer, (4, 20), strict=True):
        counts = [leaf for leaf in jax.tree.leaves(part.state) if leaf.dtype == jnp.int32]
        assert counts
        assert {int(count) for count in counts} == {steps}


def test_labels_of_all_weights_serve_a_rule_with_windows_too():
    frozen = optax.multi_transform(
        {"still": optax.set_to_zero(), "sgd": optax.sgd(0.1)}, {"W": "still", "W_out": "sgd", "b_out": "sgd"}
    )
    data = train(EBPTT(window=3), TASK, network=NETWORK, optimizer=frozen, seeds=1, steps=6, bin=6)
    start = Trainer((FixedW(),), TASK, NETWORK, optax.sgd(0.1)).start(0).net
    np.testing.assert_allclose(data.W[0], start.W, rtol=0, atol=1e-15)
    assert (data.W_out[0] != start.W_out).all()


class Odd(RFLO):
    """RFLO that says of itself what no rule can."""

    said: dict = eqx.field(static=True, default_factory=dict)
    period = property(lambda self: self.said.get("period", 1))
    delay = property(lambda self: self.said.get("delay", 0))


def test_a_gradient_between_the_ends_of_its_windows_is_told_of():
    settings = {"network": NETWORK, "seeds": 1, "steps": 12, "bin": 4}
    with pytest.raises(ValueError) as refused:
        train(Odd(said={"period": 3}), TASK, **settings)
    assert str(refused.value) == "Odd returned a gradient between steps 0 and 4 at a step for which its period, 3, has none."


BAD_RULES = {
    "Odd's period must be a whole number of at least 1, not 0.": {"period": 0},
    "Odd's period must be a whole number of at least 1, not 2.5.": {"period": 2.5},
    "Odd's delay must be a whole number of at least 0, not -1.": {"delay": -1},
    "Odd's delay must be a whole number of at least 0, not None.": {"delay": None},
}


@pytest.mark.parametrize("sentence", BAD_RULES)
def test_a_period_or_delay_that_cannot_be_is_refused(sentence):
    with pytest.raises(ValueError) as refused:
        Trainer((RFLO(), Odd(said=BAD_RULES[sentence])), TASK, NETWORK, optax.sgd(0.1))
    assert str(refused.value) == sentence


def test_an_optimiser_that_asks_for_the_loss_is_given_it():
    plateau = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(factor=0.5, patience=2, accumulation_size=3))
    for optimizer in (plateau, optax.polyak_sgd(0.5)):
        trainer = Trainer((RFLO(),), TASK, NETWORK, optimizer)
        learner = trainer.start(0)
        inputs, targets = TASK.chunk(learner.stream, jnp.array(0), 12)[1][:2]
        now, memory = learner.net.b_out, optimizer.init(weights(learner.net))
        update = jax.jit(lambda g, memory, w, loss, optimizer=optimizer: optimizer.update(g, memory, w, value=loss))
        for t in range(12):
            net, r = learner.net, learner.net.step(learner.s, inputs[t])[2]
            error = jax.nn.softmax(net.readout(r)) - targets[t]
            learner, loss, (G,) = STEP(trainer, learner, jnp.array(t), inputs[t], targets[t])
            updates, memory = update({"W": G, "W_out": jnp.outer(error, r), "b_out": error}, memory, weights(net), loss)
            now = now + updates["b_out"]
        np.testing.assert_allclose(learner.net.b_out, now, rtol=0, atol=1e-12)


def changing(state):
    return optax.GradientTransformation(lambda params: jnp.zeros(1), lambda g, s, p=None: (g, state))


NEEDS = "the optimiser needs more than an online step provides, the weights, their gradient and the loss (`value`): "
REFUSED = {
    NEEDS + "'dict' object has no attribute 'fast'": optax.lookahead(optax.sgd(0.1), 5, 0.5),
    "missing 2 required keyword-only arguments: 'grad' and 'value_fn'": optax.lbfgs(),
    "obj_fn must be provided": optax.contrib.sophia(0.1),
    "updates are not finite where weights, gradient and loss are 1: check its numbers.": optax.sgd(0.1, momentum=jnp.nan),
    "updates are not finite where": optax.adam(0.1, b2=1.0),
    "updates are not finite": optax.sgd(float("inf")),
    "updates must be real numbers in the shapes of the weights": optax.scale(1j),
    "updates must be real numbers in the shapes of": optax.stateless(lambda g, p: jax.tree.map(jnp.sum, g)),
    "state must keep its shapes and types": changing(jnp.zeros(2)),
    "state must keep its": changing({"other": jnp.zeros(1)}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_work_online_is_refused_in_one_sentence(message):
    with pytest.raises(ValueError) as refused:
        Trainer((RFLO(),), TASK, NETWORK, REFUSED[message])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("given", [0.1, "adam", optax.adam])
def test_what_is_no_optimiser_is_refused(given):
    with pytest.raises(TypeError, match="the optimizer must be a GradientTransformation, not "):
        Trainer((RFLO(),), TASK, NETWORK, given)


def of_size(rate):
    return optax.stateless(lambda updates, params: jax.tree.map(lambda u: u * (rate / u.size), updates))


def test_optimisers_that_differ_in_numbers_alone_are_traced_for_a_few_weights_once_and_each_is_tried_out(monkeypatch):
    sizes, trace = [], module._traced
    monkeypatch.setattr(module, "_FEW", {})
    monkeypatch.setattr(module, "_traced", lambda given, own: sizes.append(own["W"].shape) or trace(given, own))
    large = WEIGHTS | {"W": jnp.ones((6, 9))}
    for rate in (0.1, 0.2):
        Optimizer(optax.sgd(rate, momentum=0.125), large, 1)
    assert sizes == [(6, 9), (4, 4), (6, 9)]
    with pytest.raises(ValueError, match="updates are not finite"):
        Optimizer(optax.sgd(jnp.inf, momentum=0.125), large, 1)
    sizes.clear()
    for rate in (0.1, 0.2):
        Optimizer(of_size(rate), large, 1)
    assert sizes == [(6, 9), (4, 4)] * 2


SETTINGS = {
    "adam's b1 must lie in [0, 1), not 2.0.": {"name": "adam", "b1": 2},
    "adam's b1 must lie in [0, 1), not nan.": {"name": "adam", "b1": float("nan")},
    "sgd's momentum must lie in [0, 1), not -5.0.": {"name": "sgd", "momentum": -5},
    "adamw's weight_decay must lie in [0, inf), not -1.0.": {"name": "adamw", "weight_decay": -1},
    "adam's eps must lie in [0, inf), not inf.": {"name": "adam", "eps": float("inf")},
    "sgd's momentum cannot be 'abc': input should be a valid number": {"name": "sgd", "momentum": "abc"},
    "adam's mu_dtype cannot be 'banana': input should be 'bfloat16', 'float16' or 'float32'.": {
        "name": "adam",
        "mu_dtype": "banana",
    },
    "noisy_sgd's key cannot be 'x': input should be a valid integer": {"name": "noisy_sgd", "key": "x"},
}


@pytest.mark.parametrize("sentence", SETTINGS)
def test_settings_of_an_optimiser_that_make_no_sense_are_refused(sentence):
    with pytest.raises(ValueError) as refused:
        make_optimizer(complete_optimizer(SETTINGS[sentence]), 3)
    assert sentence in str(refused.value)


def test_an_average_that_forgets_nothing_is_allowed_where_it_is_no_average():
    table = complete_optimizer({"name": "optimistic_gradient_descent", "beta": 1.5})
    assert table["beta"] == 1.5
    make_optimizer(table, 3)
