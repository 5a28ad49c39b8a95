"""What is kept of RTRL's influence, on every kind of unit: the immediate derivative, a unit's own, paths of some synapses."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_units import KINDS, T, close, in_mask, played, problem, run

from recredit.network.unitwise import influence, matrix, row_times_trace, times_signals
from recredit.rules import RFLO, RTRL, Cascade, EProp, Hops, PPProp, SnAp1

EACH = [pytest.param(name, marks=[] if name in ("leaky", "lstm") else pytest.mark.slow) for name in KINDS]


def told(rule, net, steps):
    """Each step's gradient."""
    return run(rule, net, steps, rule.init(net, jax.random.key(4)))[0]


@eqx.filter_jit
def masked_rtrl(net, steps, mask):
    """RTRL's gradients with an influence that the mask (N, P) cuts after each step."""

    def body(M, step):
        at = step.at(net)
        M = mask[:, :, None] * (jnp.tensordot(net.jacobian(at), M, axes=1) + influence(net.gain(at), step.r_hat))
        return M, jnp.tensordot(net.times_out_slope(step.state, step.error @ net.W_out), M, axes=1)

    return jax.lax.scan(body, jnp.zeros((net.n_state, *net.W.shape)), steps)[1]


def each(steps, t):
    """One of the steps."""
    return jax.tree.map(lambda a: a[t], steps)


def credit(net, step):
    """The exact immediate credit."""
    return net.times_out_slope(step.state, step.error @ net.W_out)


def own(net):
    """Which states and voltages are of the same unit."""
    return jnp.tile(jnp.eye(net.n), (net.n_state // net.n, len(net.W) // net.n))


@pytest.mark.parametrize("kind", EACH)
def test_a_units_own_jacobian_is_what_j_holds_of_it(kind):
    net, s, x, y = problem(kind)
    step = jax.tree.map(lambda a: a[-1], played(net, s, x, y))
    n, J = net.n, net.jacobian(step.at(net))
    found = net.own_jacobian(step.at(net))
    close(matrix(jnp.broadcast_to(found, (n,)) if net.units.is_simple else found), J * jnp.tile(jnp.eye(n), (len(J) // n,) * 2))


@pytest.mark.parametrize("kind", EACH)
def test_snap_1_is_rtrl_whose_influence_is_cut_to_each_units_own(kind):
    net, s, x, y = problem(kind)
    steps = played(net, s, x, y)
    found = told(SnAp1(), net, steps)
    close(found, masked_rtrl(net, steps, own(net)))
    rflo = told(RFLO(), net, steps)
    assert kind == "lru" or abs(found - rflo).max() > 1e-4


@pytest.mark.parametrize("kind", EACH)
def test_it_is_exact_as_long_as_no_path_can_be_longer(kind):
    net, s, x, y = problem(kind)
    steps = played(net, s, x, y)
    exact = told(RTRL(), net, steps)
    for k in range(3):
        found = told(Hops(hops=k), net, steps)
        close(found[: k + 1], exact[: k + 1])
        assert kind in ("lru", "alif") or np.linalg.norm(found - exact) > 1e-9


def kernel(stages, a, lag):
    """How much of what was so many steps ago a cascade has."""
    return math.comb(lag + stages - 1, stages - 1) * a**stages * (1 - a) ** lag


@pytest.mark.parametrize("stages", [1, 3])
@pytest.mark.parametrize("kind", EACH)
def test_a_cascade_weighs_the_past_by_a_gamma_kernel(kind, stages):
    net, s, x, y = problem(kind)
    steps = played(net, s, x, y)
    found = told(Cascade(stages, 0.3), net, steps)
    for t in range(T):
        e = sum(
            kernel(stages, 0.3, t - u) * times_signals(net.gain(each(steps, u).at(net)), steps.r_hat[u]) for u in range(t + 1)
        )
        close(found[t], row_times_trace(credit(net, each(steps, t)), e))


@pytest.mark.parametrize("kind", EACH)
def test_pp_prop_is_a_product_of_two_sums(kind):
    net, s, x, y = problem(kind)
    steps = played(net, s, x, y)
    found, p, f = told(PPProp(0.6), net, steps), 0, jnp.zeros(net.own_shape[:-1])
    for t in range(T):
        step = each(steps, t)
        p = sum(0.6 ** (t - u) * steps.r_hat[u] for u in range(t + 1))
        L = net.memory(step.at(net))
        f = 0.6 * (L * f if net.units.is_simple else jnp.einsum("stn,tgn->sgn", L, f)) + 0.4 * net.gain(step.at(net))
        close(found[t], row_times_trace(credit(net, step), times_signals(f, p)))


def leaking(net, s, x, y, kappa, W):
    """The loss at each step of a read-out that keeps kappa of itself, from zero."""
    net = net.with_weights(net.kept(W), net.W_out, net.b_out)

    def body(carry, now):
        s, z = carry
        _, _, s = net.step(s, now[0])
        z = kappa * z + net.readout(s)
        return (s, z), (net.loss_and_error(z, now[1]), s)

    return jax.lax.scan(body, (s, jnp.zeros(net.n_out)), (x, y))[1][0]


@pytest.mark.parametrize("kind", EACH)
def test_e_prop_is_exact_for_a_leaky_read_out_of_units_without_synapses_between_them(kind):
    net, s, x, y = problem(kind, **({} if kind == "lru" else {"connections": "none"}))
    exact = in_mask(net, jax.jacrev(lambda W: leaking(net, s, x, y, 0.7, W)[0])(net.W))
    steps = eqx.tree_at(lambda steps: steps.error, played(net, s, x, y), leaking(net, s, x, y, 0.7, net.W)[1])
    found = in_mask(net, told(EProp(0.7), net, steps))
    close(found, exact)
    assert kind == "alif" or abs(in_mask(net, told(EProp(), net, steps)) - exact).max() > 1e-3  # few spikes: 0 but for rounding


def test_a_program_that_would_be_endless_is_refused():
    for make in (lambda count: Hops(hops=count), lambda count: Cascade(stages=count)):
        make(1000)
        with pytest.raises(ValueError, match="must be at most 1,000, not 1000000000"):
            make(10**9)
