"""Forbidden operations for random rules, a block each: what it computes reaches the gradient."""

import jax
import jax.numpy as jnp
from audit_random import LEAKS, READS, Block, one_of, place, taken
from jax import lax

BACKWARDS = (
    lambda S, r: r @ S,
    lambda S, r: S.T @ r,
    lambda S, r: jnp.einsum("ij,i->j", S, r),
    lambda S, r: (S * r[:, None]).sum(0),
    lambda S, r: jax.vjp(lambda x: S @ x, r)[1](r)[0],
)
PRODUCTS = (
    lambda A, B: A @ B,
    lambda A, B: jnp.einsum("ik,kj->ij", A, B),
    lambda A, B: (A[:, :, None] * B[None]).sum(1),
    lambda A, B: jax.vmap(lambda b: A @ b, 1, 1)(B),
    lambda A, B: lax.fori_loop(0, A.shape[1], lambda k, C: C + jnp.outer(A[:, k], B[k]), jnp.zeros_like(B)),
)


def used(rng):
    """How a vector (n,) of a forbidden block reaches the gradient: as a factor, through a trace, or as a rate like others."""
    how, which = int(rng.integers(3)), place(rng)

    def use(step, s, vector):
        if how == 0 or not s.traces:
            s.terms.append(jnp.outer(vector, step.r_hat))
        elif how == 1:
            s.terms.append(vector[:, None] * taken(s.traces, which))
        else:
            s.rates.append(jnp.tanh(vector))
            s.terms.append(jnp.outer(s.rates[-1], step.r_hat))

    return use


def stateless(run):
    return Block(lambda net, key: (), run)


def transposed(rng):
    """Synapses read from their targets, too."""
    back, use, which, of = one_of(rng, BACKWARDS), used(rng), place(rng), place(rng)

    def run(net, step, state, key, s):
        use(step, s, back(taken(s.synapses, of), taken(s.rates, which)))
        return state

    return stateless(run)


def jacobian(rng):
    """A matrix that readjusts with activity."""
    read, use, which, of, exact = one_of(rng, READS), used(rng), place(rng), place(rng), place(rng)

    def run(net, step, state, key, s):
        J = net.jacobian(step.v) if exact < 0.5 else net.slope(step.v)[:, None] * taken(s.synapses, of)
        use(step, s, read(J, taken(s.rates, which)))
        return state

    return stateless(run)


def product(rng):
    """A matrix times a matrix."""
    times, use, of, others = one_of(rng, PRODUCTS), used(rng), place(rng), (place(rng), place(rng))

    def run(net, step, state, key, s):
        S = taken(s.synapses, of)
        if s.traces and others[0] < 0.5:
            s.terms.append(times(S, taken(s.traces, others[1])))
        else:
            use(step, s, jnp.max(times(S, taken(s.synapses, others[1])), axis=1))
        return state

    return stateless(run)


def delay_line(rng):
    """Rates of earlier steps, handed on at every step, at some, or round a ring."""
    use, which, places, how = used(rng), place(rng), int(rng.integers(3, 7)), int(rng.integers(3))

    def run(net, step, state, key, s):
        window, t = state
        rate = taken(s.rates, which)
        if how == 0:
            window = jnp.concatenate([rate[None], window[:-1]])
        elif how == 1:
            window = jnp.where(t % 3 == 0, jnp.roll(window, 1, axis=0).at[0].set(rate), window)
        else:
            window = window.at[t % places].set(rate)
        use(step, s, window.sum(0))
        return window, t + 1

    return Block(lambda net, key: (jnp.zeros((places, net.n)), jnp.array(0)), run)


def foreign(rng):
    """A trace, or a weight, of another synapse."""
    how, which = int(rng.integers(4)), place(rng)

    def run(net, step, state, key, s):
        own = taken([net.W, *s.traces], which)
        if how == 0:
            other = jnp.roll(own, 1, axis=0)
        elif how == 1:
            other = own[:, ::-1]
        elif how == 2:
            other = jnp.pad(own, ((0, 0), (1, 0)))[:, :-1]
        else:
            other = own.at[:, : net.n].set(own[:, : net.n].T)
        s.terms.append(0.1 * other)
        return state

    return stateless(run)


def shared_noise(rng):
    """Draws that units share, or that are tied between them."""
    use, which, how = used(rng), place(rng), int(rng.integers(4))

    def run(net, step, state, key, s):
        xi = jax.random.normal(key, (net.n,))
        tied = (jnp.broadcast_to(xi[0], xi.shape), jnp.cumsum(xi), xi - xi.mean(), xi[jnp.arange(net.n) // 2])[how]
        use(step, s, taken(s.rates, which) + 0.1 * tied)
        return state

    return stateless(run)


def passed_on(rng):
    """A linear image of what synapses brought, or a voltage, through synapses."""
    first, second, use, which, of, how = (
        one_of(rng, READS),
        one_of(rng, READS),
        used(rng),
        place(rng),
        (place(rng), place(rng)),
        place(rng),
    )

    def run(net, step, state, key, s):
        heard = step.v if how < 0.3 else first(taken(s.synapses, of[0]), taken(s.rates, which))
        use(step, s, second(taken(s.synapses, of[1]), heard if how < 0.7 else 0.5 * heard + 0.1))
        return state

    return stateless(run)


def second_network(rng):
    """The network again from another state: rates, potentials, or with shaken weights."""
    read, use, how = one_of(rng, READS[:4]), used(rng), int(rng.integers(3))

    def run(net, step, h, key, s):
        rates = jnp.tanh(h) if how == 1 else h
        W = net.W + 0.01 * jax.random.normal(key, net.W.shape) if how == 2 else net.W
        v = read(W, jnp.concatenate([rates, step.r_hat[net.n :]]))
        h = (1 - net.alpha) * h + net.alpha * v if how == 1 else net.leak(h, v)
        use(step, s, h - step.r)
        return h

    return Block(lambda net, key: 0.1 * jax.random.normal(key, (net.n,)), run)


def no_neurons(rng):
    """A vector of three that no neuron carries."""
    leak = one_of(rng, LEAKS[:2])

    def run(net, step, means, key, s):
        means = leak(means, jnp.sum(step.error**2), jnp.array([0.5, 0.2, 0.1]))
        s.terms.append((means[0] - means[2]) * jnp.outer(step.r, step.r_hat))
        return means

    return Block(lambda net, key: jnp.zeros(3), run)


def bank(rng):
    """As many traces a synapse as there are units."""
    leak = one_of(rng, LEAKS[:2])

    def run(net, step, traces, key, s):
        decay = ((1 + jnp.arange(net.n)) / (2 * net.n))[:, None, None]
        traces = leak(traces, net.gain(step.v)[:, None] * step.r_hat, decay)
        s.terms.append(traces[0])
        return traces

    return Block(lambda net, key: jnp.zeros((net.n, *net.W.shape)), run)


FORBIDDEN = {
    transposed: "vii",
    jacobian: "ii-stored",
    product: "iv",
    delay_line: "locality-time",
    foreign: "ii-local",
    shared_noise: "v",
    passed_on: "iii",
    second_network: "vi",
    no_neurons: "i",
    bank: "memory",
}
