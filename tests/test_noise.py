"""The network's noise: where it enters, that it is the seed's whatever the rule, and that a rule that needs it says so."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import recredit
from recredit.network import Network
from recredit.network.gru import GRU
from recredit.rule import AbstractRule
from recredit.rules import RFLO, UORO, FixedW, KeRNL, WeightPerturbation
from recredit.tasks import Add
from recredit.training.step import Trainer


class Correlated(AbstractRule):
    """Noise times presynaptic signal."""

    @property
    def needs_noise(self):
        return True

    def init(self, net, key):
        return jnp.zeros(())

    def update(self, net, step, state, key):
        return jnp.outer(step.xi, step.r_hat), step.loss


def noises(trainer, length):
    """The noise of each step of seed 3, found in its voltages by an observer."""

    @eqx.filter_jit
    def go():
        learner = trainer.start(3)
        _, sample = trainer.chunk(learner.stream, jnp.array(0), length)

        def body(learner, now):
            t, x, y = now
            learner, _, (*_, G) = trainer.step(learner, t, x, y)
            return learner, G[:, -1]  # the bias's signal is 1

        return jax.lax.scan(body, learner, (jnp.arange(length), sample.x, sample.target))[1]

    return np.asarray(go())


@pytest.mark.parametrize("streams", [1, 2])
def test_the_noise_is_normal_and_the_seeds_own_whatever_the_rules(streams):
    network = Network(n=8, noise=0.3)
    one, other = (
        noises(Trainer((rule, Correlated()), Add(), network, optax.sgd(1e-3), streams), 1000) for rule in (RFLO(), FixedW())
    )
    np.testing.assert_array_equal(one, other)
    sd, lag = 0.3 / streams**0.5, (one[1:] * one[:-1]).mean()  # of a mean over the streams, whose noise is independent
    assert abs(one.std() / sd - 1) < 0.03
    assert max(abs(one.mean()) / sd, abs(lag) / sd**2) < 0.03
    assert abs((one[:, 0] * one[:, 1]).mean()) < 0.15 * sd**2


def test_the_voltages_and_all_that_follows_have_the_noise():
    net = Network(n=4, units=GRU(), noise=0.5).create(2, 3, "softmax", jax.random.key(0))
    s, x, xi = net.first(jax.random.key(1)), jnp.ones(2), net.noise_of(jax.random.key(2))
    assert xi.shape == (16,)
    step = recredit.Step.of(net, s, x, jnp.ones(3) / 3, xi)
    np.testing.assert_allclose(step.v, net.W @ step.r_hat + xi)
    assert abs(step.state - recredit.Step.of(net, s, x, jnp.ones(3) / 3).state).max() > 1e-3
    np.testing.assert_allclose(step.loss, net.loss_and_error(net.readout(step.state), jnp.ones(3) / 3)[0])
    assert Network(n=4).create(2, 3, "softmax", jax.random.key(0)).noise_of(jax.random.key(3)) is None


@pytest.mark.parametrize(("rule", "copy"), [(KeRNL(sigma=1e-9), "r_tilde"), (WeightPerturbation(sigma=1e-9), "s_tilde")])
def test_a_perturbed_copy_has_the_networks_noise(rule, copy):
    net = Network(n=4, noise=0.5).create(2, 3, "softmax", jax.random.key(0))
    step = recredit.Step.of(net, net.first(jax.random.key(1)), jnp.ones(2), jnp.ones(3) / 3, net.noise_of(jax.random.key(2)))
    state = rule.update(net, step, rule.init(net, jax.random.key(3)), jax.random.key(4))[1]
    np.testing.assert_allclose(getattr(state, copy), step.state, atol=1e-7)


def test_a_rule_that_needs_noise_says_so():
    with pytest.raises(ValueError, match="Correlated learns from the network's noise, but the network has none: set it"):
        recredit.train(Correlated(), Add(), seeds=1, steps=100)
    with pytest.raises(ValueError, match="the network's noise must lie in"):
        Network(noise=-1)
    found = recredit.audit(Correlated(), measure=False)
    assert "step.xi" in found.reads
    assert found.network.endswith("with noise")


def test_noise_is_in_the_loss_of_the_untrained_network_too():
    runs = [recredit.train(UORO(), Add(), network=Network(n=8, noise=sd), seeds=2, steps=300) for sd in (0.0, 2.0)]
    assert (abs(runs[0].loss_at_start - runs[1].loss_at_start) > 1e-3).all()
