"""RFLO and RTRL in other words."""

import jax
import jax.numpy as jnp
from jax import lax

from recredit.rule import AbstractRule
from recredit.rules import RULES
from respelled.elsewhere import speed, spread, spread_in_jit, told, told_by_einsum
from respelled.pairs import respells


@respells(RULES["rflo"])
class Anvil(AbstractRule):
    def init(self, net, key):
        return {"z": jnp.zeros_like(net.W.T)}

    def update(self, net, step, state, key):
        z = (1 - net.alpha) * state["z"] + jnp.einsum("j,i->ji", step.r_hat, speed(net, step))
        return jnp.einsum("ji,i->ij", z, told_by_einsum(net, step)), {"z": z}


@respells(RULES["rflo"])
class Birch(AbstractRule):
    def init(self, net, key):
        return (jnp.zeros_like(net.W),)

    def update(self, net, step, state, key):
        c, gain = told(net, step), speed(net, step)

        def row(i, carry):
            q, G = carry
            q = q.at[i].set((1 - net.alpha) * q[i] + gain[i] * step.r_hat)
            return q, G.at[i].set(c[i] * q[i])

        q, G = lax.fori_loop(0, net.n, row, (state[0], jnp.zeros_like(net.W)))
        return G, (q,)


@respells(RULES["rflo"])
class Comet(AbstractRule):
    def init(self, net, key):
        return jnp.zeros(net.W.size, net.W.dtype)

    def update(self, net, step, state, key):
        @jax.jit
        def move(flat, gain, inputs):
            return (1 - net.alpha) * flat + jnp.repeat(gain, inputs.size) * jnp.tile(inputs, gain.size)

        flat = move(state, net.gain(step.v), step.r_hat)
        return jax.vmap(jnp.multiply)(step.error @ net.W_out, flat.reshape(net.W.shape)), flat


@respells(RULES["rflo"])
class Delta(AbstractRule):
    """The trace in three blocks: recurrent, inward, bias."""

    def init(self, net, key):
        return jnp.zeros_like(net.W_rec), jnp.zeros_like(net.W[:, net.n : -1]), jnp.zeros_like(net.W[:, 0])

    def update(self, net, step, state, key):
        c, gain, keep = told(net, step), speed(net, step), 1 - net.alpha
        rec = keep * state[0] + gain[:, None] * step.r_prev
        inward = keep * state[1] + gain[:, None] * step.r_hat[net.n : -1]
        bias = keep * state[2] + gain
        return jnp.concatenate([c[:, None] * rec, c[:, None] * inward, (c * bias)[:, None]], 1), (rec, inward, bias)


@respells(RULES["rtrl"])
class Ember(AbstractRule):
    def init(self, net, key):
        n, m = net.W.shape
        return {"influence": jnp.zeros((n, n * m), net.W.dtype)}

    def update(self, net, step, state, key):
        n, m = net.W.shape
        moved = spread(net, step) @ state["influence"]
        now = jnp.einsum("ki,i,j->kij", jnp.eye(n, dtype=net.W.dtype), speed(net, step), step.r_hat)
        p = moved + now.reshape(n, n * m)
        return (told(net, step) @ p).reshape(n, m), {"influence": p}


@respells(RULES["rtrl"])
class Flint(AbstractRule):
    """Axes (i, j, k); the product by broadcast and sum."""

    def init(self, net, key):
        n, m = net.W.shape
        return [jnp.zeros((n, m, n), net.W.dtype)]

    def update(self, net, step, state, key):
        J = spread_in_jit(net.alpha, net.W, speed(net, step))
        moved = (state[0][:, :, None, :] * J[None, None]).sum(-1)
        now = jnp.eye(net.n, dtype=J.dtype)[:, None, :] * (speed(net, step)[:, None] * step.r_hat)[:, :, None]
        p = moved + now
        return jnp.sum(p * told(net, step), axis=2), [p]


@respells(RULES["rtrl"])
class Grove(AbstractRule):
    """One unit's row of the influence at each round of a loop."""

    def init(self, net, key):
        return jnp.zeros((net.n, *net.W.shape), net.W.dtype)

    def update(self, net, step, state, key):
        J, gain, c = net.jacobian(step.v), net.gain(step.v), told_by_einsum(net, step)

        def unit(k, carry):
            new, G = carry
            mine = jnp.tensordot(J[k], state, 1).at[k].add(gain[k] * step.r_hat)
            return new.at[k].set(mine), G + c[k] * mine

        new, G = lax.fori_loop(0, net.n, unit, (jnp.zeros_like(state), jnp.zeros_like(net.W)))
        return G, new


@respells(RULES["rtrl"])
class Heron(AbstractRule):
    """The product by vmap over both indices of the weight."""

    def init(self, net, key):
        return (jnp.zeros((net.n, *net.W.shape), net.W.dtype),)

    def update(self, net, step, state, key):
        J = spread(net, step)
        column = jax.vmap(jax.vmap(lambda column: jnp.dot(J, column), 1, 1), 2, 2)
        now = jax.vmap(lambda one, g: jnp.outer(one * g, step.r_hat))(jnp.eye(net.n, dtype=J.dtype), speed(net, step))
        p = column(state[0]) + now
        return jnp.einsum("k,kij->ij", told(net, step), p), (p,)
