"""UORO, KF-RTRL and R-KF in other words. Each starts from the registered rule's draws, packed its own way."""

import jax
import jax.numpy as jnp

from recredit.rule import AbstractRule
from recredit.rules import RULES
from respelled.elsewhere import (
    ratio,
    size,
    size_by_einsum,
    speed,
    spread,
    spread_in_jit,
    times,
    times_by_columns,
    times_by_rows,
    told,
    told_by_einsum,
)
from respelled.pairs import respells

UORO, KF, RKF = RULES["uoro"], RULES["kf_rtrl"], RULES["r_kf"]


@respells(UORO)
class Iris(AbstractRule):
    def init(self, net, key):
        drawn = UORO().init(net, key)
        return {"p": drawn.B.T, "q": drawn.A}

    def update(self, net, step, state, key):
        signs = jax.random.rademacher(key, (net.n,), net.W.dtype)
        moved = jnp.einsum("kl,l->k", spread(net, step), state["q"])
        now = jnp.einsum("j,i,i->ji", step.r_hat, signs, speed(net, step))
        a, b = ratio(state["p"], moved), ratio(now, signs)
        q, p = a * moved + b * signs, state["p"] / a + now / b
        return jnp.einsum("k,k,ji->ij", told(net, step), q, p), {"p": p, "q": q}


@respells(UORO)
class Juniper(AbstractRule):
    def init(self, net, key):
        drawn = UORO().init(net, key)
        return drawn.B.ravel(), drawn.A

    def update(self, net, step, state, key):
        @jax.jit
        def mix(J, q, p, signs, now):
            moved = (J * q[None, :]).sum(1)
            a = jnp.sqrt(size(p) / size(moved))
            b = jnp.sqrt(size(now) / size(signs))
            return a * moved + b * signs, p / a + now / b

        signs = jax.random.rademacher(key, (net.n,), net.W.dtype)
        now = ((signs * speed(net, step))[:, None] * step.r_hat).ravel()
        q, p = mix(net.jacobian(step.v), state[1], state[0], signs, now)
        return jnp.sum(told(net, step) * q) * p.reshape(net.W.shape), (p, q)


@respells(UORO)
class Kestrel(AbstractRule):
    def init(self, net, key):
        drawn = UORO().init(net, key)
        return [drawn.A, drawn.B]

    def update(self, net, step, state, key):
        signs = jax.random.rademacher(key, (net.n,), net.W.dtype)
        moved = times_by_rows(spread_in_jit(net.alpha, net.W, speed(net, step)), state[0])
        now = jax.vmap(lambda s: s * step.r_hat)(signs * speed(net, step))
        a = jnp.sqrt(size_by_einsum(state[1]) / size_by_einsum(moved))
        b = jnp.sqrt(size_by_einsum(now) / size_by_einsum(signs))
        q, p = a * moved + b * signs, state[1] / a + now / b
        return jnp.vdot(told_by_einsum(net, step), q) * p, [q, p]


@respells(KF)
class Larch(AbstractRule):
    def init(self, net, key):
        drawn = KF().init(net, key)
        return {"wide": drawn.B.T, "long": drawn.A}

    def update(self, net, step, state, key):
        signs = jax.random.rademacher(key, (2,), net.W.dtype)
        moved = jnp.einsum("kl,il->ik", spread(net, step), state["wide"])
        gain = speed(net, step)
        a, b = ratio(moved, state["long"]), ratio(gain, step.r_hat)
        long = signs[0] * a * state["long"] + signs[1] * b * step.r_hat
        wide = signs[0] / a * moved + signs[1] / b * jnp.eye(net.n, dtype=gain.dtype) * gain
        return jnp.einsum("ik,k,j->ij", wide, told(net, step), long), {"wide": wide, "long": long}


@respells(KF)
class Mica(AbstractRule):
    def init(self, net, key):
        drawn = KF().init(net, key)
        return drawn.B, drawn.A

    def update(self, net, step, state, key):
        first, second = jnp.split(jax.random.rademacher(key, (2,), net.W.dtype), 2)
        moved, gain = times(net.jacobian(step.v), state[0]), net.gain(step.v)
        a, b = ratio(moved, state[1]), ratio(gain, step.r_hat)
        q = first * a * state[1] + second * b * step.r_hat
        p = (first * moved / a).at[jnp.arange(net.n), jnp.arange(net.n)].add(second * gain / b)
        return (told(net, step)[:, None] * p).sum(0)[:, None] * q[None, :], (p, q)


@respells(KF)
class Nettle(AbstractRule):
    def init(self, net, key):
        drawn = KF().init(net, key)
        return [drawn.A, drawn.B.ravel()]

    def update(self, net, step, state, key):
        n = net.n
        signs = jax.random.rademacher(key, (2,), net.W.dtype)
        gain = speed(net, step)
        moved = times_by_columns(spread_in_jit(net.alpha, net.W, gain), state[1].reshape(n, n))
        a = (size_by_einsum(moved) / size_by_einsum(state[0])) ** 0.5
        b = (size_by_einsum(gain) / size_by_einsum(step.r_hat)) ** 0.5
        q = signs[0] * a * state[0] + signs[1] * b * step.r_hat
        p = signs[0] * moved / a + signs[1] * jnp.diagflat(gain) / b
        return jnp.outer(jax.vmap(jnp.dot, (None, 1))(told(net, step), p), q), [q, p.ravel()]


@respells(RKF)
class Onyx(AbstractRule):
    def init(self, net, key):
        drawn = RKF().init(net, key)
        return {"u": drawn.B.T, "w": drawn.A}

    def update(self, net, step, state, key):
        signs = jax.random.rademacher(key, (net.n,), net.W.dtype)
        moved = jnp.einsum("kl,jl->jk", spread(net, step), state["u"])
        now = jnp.einsum("j,k->jk", step.r_hat, signs * speed(net, step))
        a, b = ratio(moved, state["w"]), ratio(now, signs)
        w, u = a * state["w"] + b * signs, moved / a + now / b
        return jnp.einsum("i,k,jk->ij", w, told_by_einsum(net, step), u), {"u": u, "w": w}


@respells(RKF)
class Plover(AbstractRule):
    def init(self, net, key):
        drawn = RKF().init(net, key)
        return drawn.B, drawn.A

    def update(self, net, step, state, key):
        @jax.jit
        def move(J, p, now):
            return times(J, p), now

        signs = jax.random.rademacher(key, (net.n,), net.W.dtype)
        moved, now = move(net.jacobian(step.v), state[0], (signs * speed(net, step))[:, None] * step.r_hat)
        a, b = ratio(moved, state[1]), ratio(now, signs)
        q, p = a * state[1] + b * signs, moved / a + now / b
        return q[:, None] * (told(net, step)[:, None] * p).sum(0)[None], (p, q)


@respells(RKF)
class Quartz(AbstractRule):
    def init(self, net, key):
        drawn = RKF().init(net, key)
        return [drawn.A, drawn.B.ravel()]

    def update(self, net, step, state, key):
        signs = jax.random.rademacher(key, (net.n,), net.W.dtype)
        gain = speed(net, step)
        moved = times_by_rows(spread_in_jit(net.alpha, net.W, gain), state[1].reshape(net.W.shape))
        now = jax.vmap(jnp.multiply, (0, None))(signs * gain, step.r_hat)
        a = jnp.sqrt(size_by_einsum(moved) / size_by_einsum(state[0]))
        b = jnp.sqrt(size_by_einsum(now) / size_by_einsum(signs))
        q, p = a * state[0] + b * signs, moved / a + now / b
        return jnp.outer(q, jnp.tensordot(told(net, step), p, axes=(0, 0))), [q, p.ravel()]
