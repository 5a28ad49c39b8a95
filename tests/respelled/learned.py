"""KeRNL, DNI and DNI(b) in other words. Each starts from the registered rule's draws, packed its own way."""

import jax
import jax.numpy as jnp
from jax import lax

from recredit.rule import AbstractRule, Clock
from recredit.rules import RULES
from respelled.elsewhere import speed, spread, spread_in_jit, times_by_rows, told, told_by_einsum
from respelled.pairs import respells

KERNL, DNI, DNIB = RULES["kernl"], RULES["dni"], RULES["dni_b"]


@respells(KERNL)
class Raven(AbstractRule):
    def init(self, net, key):
        zero = jnp.zeros(net.n, net.W.dtype)
        started = Clock.at_zero()
        return {
            "s": jnp.eye(net.n, dtype=net.W.dtype),
            "e": jnp.zeros_like(net.W),
            "v": [zero + 0.8, zero, zero, zero],
            "t": started,
        }

    def update(self, net, step, state, key):
        s, (a, o, g, copy) = state["s"], state["v"]
        keep = jax.nn.relu(1 - a)
        noise = 1e-3 * jax.random.normal(key, (net.n,), net.W.dtype)
        copy = lax.cond(state["t"].steps == 0, lambda: step.r_prev, lambda: copy)
        drive = jnp.einsum("ij,j->i", net.W_rec, copy) + jnp.einsum("ij,j->i", net.W[:, net.n :], step.r_hat[net.n :])
        copy = (1 - net.alpha) * copy + net.alpha * jnp.tanh(drive) + noise
        g, o = keep * g - o, keep * o + noise
        e = jnp.einsum("i,ij->ij", keep, state["e"]) + jnp.einsum("i,j->ij", speed(net, step), step.r_hat)
        wrong = jnp.einsum("ki,i->k", s, o) - copy + step.r
        s, a = s - 5.0 * jnp.einsum("k,i->ki", wrong, o), a - 5.0 * jnp.einsum("k,ki->i", wrong, s) * g
        return jnp.einsum("k,ki,ij->ij", told_by_einsum(net, step), s, e), {
            "s": s,
            "e": e,
            "v": [a, o, g, copy],
            "t": state["t"].tick(),
        }


@respells(KERNL)
class Sorrel(AbstractRule):
    """The sensitivity stored transposed, the traces flat; broadcast and sum."""

    def init(self, net, key):
        zero = jnp.zeros(net.n, net.W.dtype)
        return jnp.zeros(net.W.size, net.W.dtype), jnp.eye(net.n, dtype=net.W.dtype), zero + 0.8, zero, zero, zero, jnp.array(0)

    def update(self, net, step, state, key):
        flat, sT, a, o, g, copy, t = state
        keep = jnp.where(a < 1, 1 - a, 0)
        noise = 1e-3 * jax.random.normal(key, (net.n,), net.W.dtype)
        copy = jnp.where(t == 0, step.r_prev, copy)
        drive = (net.W * jnp.concatenate([copy, step.r_hat[net.n :]])).sum(1)
        copy = net.leak(copy, drive) + noise
        g, o = keep * g - o, keep * o + noise
        e = keep[:, None] * flat.reshape(net.W.shape) + speed(net, step)[:, None] * step.r_hat
        wrong = (sT * o[:, None]).sum(0) - (copy - step.r)
        back = (sT * wrong[None, :]).sum(1)
        sT = sT - 5.0 * o[:, None] * wrong[None, :]
        G = (sT * told(net, step)[None]).sum(1)[:, None] * e
        return G, (e.ravel(), sT, a - 5.0 * back * g, o, g, copy, t + 1)


@respells(KERNL)
class Thistle(AbstractRule):
    """Rows by loops and vmap, in nested jits."""

    def init(self, net, key):
        zero = jnp.zeros(net.n, net.W.dtype)
        return {
            "k": (jnp.eye(net.n, dtype=net.W.dtype), jnp.zeros_like(net.W)),
            "l": (zero, zero, zero, zero + 0.8, jnp.array(0)),
        }

    def update(self, net, step, state, key):
        (s, e), (copy, g, o, a, t) = state["k"], state["l"]
        noise = 1e-3 * jax.random.normal(key, (net.n,), net.W.dtype)

        @jax.jit
        def run(r):
            v = times_by_rows(net.W, jnp.concatenate([r, step.r_hat[net.n :]]))
            return (1 - net.alpha) * r + net.alpha * net.phi(v)

        copy = run(jnp.where(t == 0, step.r_prev, copy)) + noise
        keep = jnp.maximum(1 - a, 0)
        g, o = keep * g - o, keep * o + noise
        e = jax.vmap(lambda k, row, d: k * row + d * step.r_hat)(keep, e, net.gain(step.v))
        wrong = times_by_rows(s, o) - (copy - step.r)
        new = jax.vmap(lambda row, w: row - 5.0 * w * o)(s, wrong)
        a = a - 5.0 * jax.vmap(jnp.dot, (None, 1))(wrong, s) * g
        told_here = lax.fori_loop(0, net.n, lambda k, c: c + told(net, step)[k] * new[k], jnp.zeros_like(a))
        return told_here[:, None] * e, {"k": (new, e), "l": (copy, g, o, a, t + 1)}


@respells(DNI)
class Umber(AbstractRule):
    """The prediction's matrix in three blocks, one for each kind of feature."""

    def init(self, net, key):
        A, n = DNI().init(net, key).A, net.n
        zero = jnp.zeros(n, net.W.dtype)
        return {"w": (A[:, :n], A[:, n:-1], A[:, -1]), "c": zero, "y": jnp.zeros_like(net.b_out), "t": Clock.at_zero()}

    def update(self, net, step, state, key):
        a, b, c = state["w"]
        before = jnp.where(state["t"].steps == 0, step.target, state["y"])

        def read(a, b, c, r, y):
            return jnp.einsum("ij,j->i", a, r) + jnp.einsum("ij,j->i", b, y) + c

        u = read(a, b, c, step.r, step.target)
        label = state["c"] + jnp.einsum("k,ki->i", u, spread(net, step))
        wrong = 1e-3 * (read(a, b, c, step.r_prev, before) - label)
        w = (a - jnp.einsum("i,j->ij", wrong, step.r_prev), b - jnp.einsum("i,j->ij", wrong, before), c - wrong)
        credit = read(*w, step.r, step.target)
        G = jnp.einsum("i,i,j->ij", credit, speed(net, step), step.r_hat)
        return G, {"w": w, "c": told(net, step), "y": step.target, "t": state["t"].tick()}


@respells(DNI)
class Vetch(AbstractRule):
    """The matrix transposed, with its frozen copy; loops over rows."""

    def init(self, net, key):
        s = DNI().init(net, key)
        return [s.c_bar_prev, s.A.T, s.A_frozen.T, s.target_prev, jnp.array(0)]

    def update(self, net, step, state, key):
        c, AT, frozen, y, t = state
        one = jnp.ones(1, net.W.dtype)
        f, f_before = (
            jnp.concatenate(p) for p in ((step.r, step.target, one), (step.r_prev, jnp.where(t == 0, step.target, y), one))
        )
        u = times_by_rows(frozen.T, f)
        J = spread_in_jit(net.alpha, net.W, speed(net, step))
        label = c + times_by_rows(J.T, u)
        AT = AT - 1e-3 * f_before[:, None] * (times_by_rows(AT.T, f_before) - label)[None, :]
        G = (times_by_rows(AT.T, f) * speed(net, step))[:, None] * step.r_hat
        return G, [told(net, step), AT, AT, step.target, t + 1]


@respells(DNI)
class Willow(AbstractRule):
    """Flat storage; vmap and broadcast and sum, in a nested jit."""

    def init(self, net, key):
        s = DNI().init(net, key)
        return s.A.ravel(), (s.c_bar_prev, s.target_prev), jnp.array(True)

    def update(self, net, step, state, key):
        flat, (c, y), first = state
        A, one = flat.reshape(net.n, -1), jnp.ones(1, net.W.dtype)
        f = jnp.concatenate([step.r, step.target, one])
        f_before = jnp.concatenate([step.r_prev, lax.select(first, step.target, y), one])

        @jax.jit
        def learn(A):
            u = (A * f).sum(1)
            label = c + (u[:, None] * net.jacobian(step.v)).sum(0)
            return jax.vmap(lambda row, want: row - 1e-3 * (jnp.dot(row, f_before) - want) * f_before)(A, label)

        A = learn(A)
        G = jax.vmap(lambda row, d: jnp.dot(row, f) * d * step.r_hat)(A, net.gain(step.v))
        return G, (A.ravel(), (told_by_einsum(net, step), step.target), jnp.zeros_like(first))


@respells(DNIB)
class Xenon(AbstractRule):
    def init(self, net, key):
        return {
            "a": DNI().init(net, key).A.T,
            "j": net.W[:, : net.n].T,
            "c": (jnp.zeros_like(net.W[:, 0]), net.b_out * 0),
            "t": Clock.at_zero(),
        }

    def update(self, net, step, state, key):
        a, j, (c, y) = state["a"], state["j"], state["c"]
        one = jnp.ones_like(step.r[:1])
        f = jnp.concatenate([step.r, step.target, one])
        f_before = jnp.concatenate([step.r_prev, jnp.where(state["t"].steps == 0, step.target, y), one])
        j = j + 1e-3 * jnp.einsum("l,k->lk", step.r_prev, step.r - jnp.einsum("lk,l->k", j, step.r_prev))
        sent = jnp.tanh(jnp.einsum("fi,f->i", a, f))
        label = c + jnp.einsum("k,lk->l", sent, j)
        a = a - 1e-3 * jnp.einsum("f,i->fi", f_before, jnp.einsum("fi,f->i", a, f_before) - label)
        G = jnp.einsum("fi,f,i,j->ij", a, f, speed(net, step), step.r_hat)
        return G, {"a": a, "j": j, "c": (told(net, step), step.target), "t": state["t"].tick()}


@respells(DNIB)
class Yarrow(AbstractRule):
    def init(self, net, key):
        A = RULES["dni_b"]().init(net, key).A
        return jnp.array(0), A, A, net.W_rec.ravel(), jnp.zeros_like(A[:, 0]), jnp.zeros_like(net.b_out)

    def update(self, net, step, state, key):
        t, A, frozen, flat, c, y = state
        one = jnp.ones(1, net.W.dtype)
        f = jnp.concatenate([step.r, step.target, one])
        f_before = jnp.concatenate([step.r_prev, jnp.where(t == 0, step.target, y), one])
        j = flat.reshape(net.n, net.n)
        j = j + 1e-3 * (step.r - (j * step.r_prev).sum(1))[:, None] * step.r_prev
        label = c + (jnp.tanh((frozen * f).sum(1))[:, None] * j).sum(0)
        A = A - 1e-3 * ((A * f_before).sum(1) - label)[:, None] * f_before
        G = ((A * f).sum(1) * speed(net, step))[:, None] * step.r_hat
        return G, (t + 1, A, A, j.ravel(), told(net, step), step.target)


@respells(DNIB)
class Zinnia(AbstractRule):
    def init(self, net, key):
        s = RULES["dni_b"]().init(net, key)
        return {"x": s.A, "z": [s.jacobian, s.c_bar_prev, s.target_prev], "first": jnp.array(True)}

    def update(self, net, step, state, key):
        A, (j, c, y), one = state["x"], state["z"], jnp.ones(1, net.W.dtype)
        f = jnp.concatenate([step.r, step.target, one])
        f_before = jnp.concatenate([step.r_prev, lax.cond(state["first"], lambda: step.target, lambda: y), one])
        j = jax.vmap(lambda row, r: row + 1e-3 * (r - jnp.dot(row, step.r_prev)) * step.r_prev)(j, step.r)

        @jax.jit
        def backwards(j, rate):
            return lax.fori_loop(0, net.n, lambda k, back: back + rate[k] * j[k], jnp.zeros_like(rate))

        label = c + backwards(j, net.phi(times_by_rows(A, f)))
        A = lax.scan(lambda _, at: (_, at[0] - 1e-3 * (at[0] @ f_before - at[1]) * f_before), None, (A, label))[1]
        G = jnp.outer(times_by_rows(A, f) * net.gain(step.v), step.r_hat)
        return G, {"x": A, "z": [j, told(net, step), step.target], "first": jnp.zeros_like(state["first"])}
