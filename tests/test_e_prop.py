"""RFLO and e-prop on adaptive spiking units: spikes and gradients are those of a NumPy program of Bellec et al.'s equations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recredit.blocks.feedback import ExactFeedback, RandomFeedback
from recredit.network import Network
from recredit.network.alif import ALIF
from recredit.rule import Step
from recredit.rules import RFLO, EProp

N, N_IN, N_OUT, T = 20, 10, 2, 400
TAU_M, TAU_A, TAU_OUT, V_TH, GAMMA, N_REF = 20.0, 200.0, 20.0, 0.6, 0.3, 3


def published(W, W_back, x, errors, beta):
    """Bellec et al. 2020, step by step: spikes (T, N) and gradients (T, N, m) for errors of the read-out (T, N_OUT)."""
    alpha, rho, kappa = np.exp(-1 / TAU_M), np.exp(-1 / TAU_A), np.exp(-1 / TAU_OUT)
    v, a, z, psi, count = (np.zeros(N) for _ in range(5))
    eps_v, eps_a, filtered = (np.zeros_like(W) for _ in range(3))
    spikes, gradients = [], []
    for x_t, error in zip(x, errors, strict=True):
        p = np.concatenate([z, x_t, [1]])
        v, a = alpha * v + W @ p - V_TH * z, rho * a + z
        eps_a = (rho - psi * beta)[:, None] * eps_a + psi[:, None] * eps_v
        eps_v = alpha * eps_v + p
        free = count == 0
        z = ((v - V_TH - beta * a > 0) & free).astype(float)
        psi = np.where(free, GAMMA / V_TH * np.maximum(0, 1 - abs((v - V_TH - beta * a) / V_TH)), 0)
        count = np.where(z > 0, N_REF - 1, np.maximum(count - 1, 0))
        e = psi[:, None] * (eps_v - beta[:, None] * eps_a)
        filtered = kappa * filtered + (1 - kappa) * e
        spikes.append(z)
        gradients.append((error @ W_back)[:, None] * filtered)
    return np.array(spikes), np.array(gradients)


@pytest.mark.parametrize("feedback", ["symmetric", "random"])
@pytest.mark.parametrize("name", ["rflo", "e_prop"])
def test_on_alif_it_is_the_published_e_prop(name, feedback):
    """RFLO where the units filter what the read-out gets; e-prop where it is the rule that knows of the read-out's filter."""
    block = ExactFeedback() if feedback == "symmetric" else RandomFeedback()
    kappa = np.exp(-1 / TAU_OUT)
    rule, tau_out, norm = (RFLO(block), TAU_OUT, 1) if name == "rflo" else (EProp(kappa, block), 1e-3, 1 - kappa)
    units = ALIF(TAU_M, TAU_A, tau_out, threshold=V_TH, beta=1.7, adaptive=0.5, refractory=N_REF - 1, dampening=GAMMA)
    net = Network(N, units=units, self_synapses=False).create(N_IN, N_OUT, "softmax", jax.random.key(0))
    x = (np.random.default_rng(1).random((T, N_IN)) < 0.15).astype(float)
    target = np.eye(2)[np.random.default_rng(2).integers(0, 2, T)]
    state = rule.init(net, jax.random.key(3))

    @eqx.filter_jit
    def run(state):
        def body(carry, now):
            s, state = carry
            step = Step.of(net, s, *now)
            G, state = rule.update(net, step, state, jax.random.key(0))
            return (step.state, state), (step.r, step.error, G)

        return jax.lax.scan(body, (net.rest(), state), (jnp.asarray(x), jnp.asarray(target)))[1]

    spikes, errors, G = run(state)
    beta = np.repeat([0.0, 1.7 * (1 - np.exp(-1 / TAU_A)) / (1 - np.exp(-1 / TAU_M))], N // 2)
    W_back = np.asarray(net.W_out if feedback == "symmetric" else state.feedback)
    expected_spikes, expected = published(np.asarray(net.W), W_back, x, np.asarray(errors), beta)
    assert 0.02 < expected_spikes.mean() < 0.2
    np.testing.assert_array_equal(spikes, expected_spikes)
    np.testing.assert_allclose(norm * G, expected, rtol=1e-10, atol=1e-12)
    assert abs(expected[:, N // 2 :]).max() > 0.01  # of adaptive units too
