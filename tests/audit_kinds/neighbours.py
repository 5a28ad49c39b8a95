"""Kind 5, what belongs to the synapse beside, by a constant offset of index (ii-local)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import Traced, credit, gated, influence, shows, twin
from recredit.rule import AbstractRule

# ii-local fails: each weight moves by the trace of another synapse, or each trace takes from another's. The twins store their
# traces at an offset, reversed or in parts, and read them back where they belong.


class Stored(eqx.Module):
    """Traces with room beside them."""

    B: jax.Array


def traces(net, step, B):
    return (1 - net.alpha) * B + influence(net, step)


@shows(5, "ii-local", "fail")
class PaddedColumns(Traced):
    """W_ij moves by the trace of W_i,j-1: a pad and a slice."""

    def update(self, net, step, state, key):
        B = traces(net, step, state)
        return jnp.pad(credit(net, step)[:, None] * B, ((0, 0), (1, 0)))[:, :-1], B


@shows(5, "ii-local", "fail")
class RowsPutBelow(AbstractRule):
    """W_ij moves by the trace of W_i-1,j: a row of zeros, then all rows but the last."""

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        B = traces(net, step, state["B"])
        G = credit(net, step)[:, None] * B
        return jnp.concatenate([jnp.zeros_like(G[:1]), G[:-1]]), {"B": B}


@shows(5, "ii-local", "fail")
class WrittenOneColumnOn(Traced):
    """The same by columns, written into zeros."""

    def update(self, net, step, state, key):
        B = traces(net, step, state)
        G = jnp.zeros_like(B).at[:, 1:].set(B[:, :-1])
        return credit(net, step)[:, None] * G, B


@shows(5, "ii-local", "fail")
class ShiftedFlat(AbstractRule):
    """All traces in one vector, moved on by one place."""

    def init(self, net, key):
        return (jnp.zeros(net.W.size),)

    def update(self, net, step, state, key):
        B = (1 - net.alpha) * state[0] + influence(net, step).ravel()
        moved = jnp.concatenate([jnp.zeros(1), B[:-1]]).reshape(net.W.shape)
        return credit(net, step)[:, None] * moved, (B,)


@shows(5, "ii-local", "fail")
class CopiedColumnByColumn(AbstractRule):
    """Each column of the gradient from the one before it, in a loop."""

    def init(self, net, key):
        return Stored(jnp.zeros_like(net.W))

    def update(self, net, step, state, key):
        B = traces(net, step, state.B)
        G = lax.fori_loop(1, B.shape[1], lambda j, G: G.at[:, j].set(B[:, j - 1]), jnp.zeros_like(B))
        return credit(net, step)[:, None] * G, Stored(B)


@shows(5, "ii-local", "fail")
class TakesFromThePadded(Traced):
    """Each trace takes a part of the trace two columns before, within the state."""

    def update(self, net, step, state, key):
        before = jnp.pad(state, ((0, 0), (2, 0)))[:, : state.shape[1]]
        B = 0.8 * state + 0.1 * before + influence(net, step)
        return credit(net, step)[:, None] * B, B


@shows(5, "ii-local", "fail")
class PaddedRowsUnderVmap(AbstractRule):
    """Row by row under vmap, with NumPy's names."""

    def init(self, net, key):
        return [jnp.zeros_like(net.W)]

    def update(self, net, step, state, key):
        B = traces(net, step, state[0])
        return jax.vmap(lambda c, b: jnp.pad(c * b, (1, 0))[:-1])(credit(net, step), B), [B]


@shows(5, "ii-local", "fail")
class WrittenAndReadElsewhere(AbstractRule):
    """A store with a column too many: written from its second column on, read from its first."""

    def init(self, net, key):
        return Stored(jnp.zeros((net.W.shape[0], net.W.shape[1] + 1)))

    def update(self, net, step, state, key):
        B = 0.9 * state.B + jnp.pad(influence(net, step), ((0, 0), (1, 0)))
        return credit(net, step)[:, None] * B[:, :-1], Stored(B)


@shows(5, "ii-local", "fail")
class RolledAndMasked(Traced):
    """A roll whose first column is masked away."""

    def update(self, net, step, state, key):
        B = traces(net, step, state)
        first = jnp.arange(B.shape[1]) == 0
        return credit(net, step)[:, None] * jnp.where(first, 0.0, jnp.roll(B, 1, axis=1)), B


@twin(5, "ii-local", "pass")
class StoredWithAColumnTooMany(AbstractRule):
    """The same store, read where it was written."""

    def init(self, net, key):
        return Stored(jnp.zeros((net.W.shape[0], net.W.shape[1] + 1)))

    def update(self, net, step, state, key):
        B = 0.9 * state.B + jnp.pad(influence(net, step), ((0, 0), (1, 0)))
        return credit(net, step)[:, None] * B[:, 1:], Stored(B)


@twin(5, "ii-local", "pass")
class StoredReversed(Traced):
    """Columns stored in reverse order, and reversed again to be used."""

    def update(self, net, step, state, key):
        B = traces(net, step, state[:, ::-1])
        return credit(net, step)[:, None] * B, B[:, ::-1]


@twin(5, "ii-local", "pass")
class RecurrentPartPadded(AbstractRule):
    """Traces of the recurrent weights alone; the rest of the gradient is zero."""

    def init(self, net, key):
        return {"rec": jnp.zeros((net.n, net.n))}

    def update(self, net, step, state, key):
        rec = 0.9 * state["rec"] + jnp.outer(net.gain(step.v), step.r_prev)
        G = jnp.pad(credit(net, step)[:, None] * rec, ((0, 0), (0, net.n_in + 1)))
        return G, {"rec": rec}


@twin(5, "ii-local", "pass")
class FlatWithAHead(AbstractRule):
    """All traces in one vector whose first place holds the loss of late."""

    def init(self, net, key):
        return (jnp.zeros(1 + net.W.size),)

    def update(self, net, step, state, key):
        loss = 0.9 * state[0][:1] + 0.1 * jnp.sum(step.error**2)
        B = 0.9 * state[0][1:] + influence(net, step).ravel()
        return gated(net, step, step.r) + loss * B.reshape(net.W.shape), (jnp.concatenate([loss, B]),)
