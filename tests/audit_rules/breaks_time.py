"""Rules that keep too much (memory), look at many time steps at once (locality-time), or keep a vector of no neurons (i)."""

import jax
import jax.numpy as jnp
from jax import lax

from audit_rules.case import case, credit, immediate
from recredit.blocks.buffers import push
from recredit.network import LeakyRNN
from recredit.rule import AbstractRule, Clock


@case("memory")
class BankOfN(AbstractRule):
    """As many leaky traces a synapse as there are units, each with its own time constant: order 3."""

    def init(self, net, key):
        return jnp.zeros((net.n, *net.W.shape), net.W.dtype)

    def update(self, net, step, state, key):
        decay = jnp.arange(net.n, dtype=net.W.dtype)[:, None, None] / net.n
        bank = decay * state + immediate(net, step)
        return credit(net, step)[:, None] * bank[0], bank


@case("memory", "ii-local")
class CascadeOfN(AbstractRule):
    """The same traces in a row: nothing tells the stages' axis from one of units, so each reads another's strength."""

    def init(self, net, key):
        return jnp.zeros((net.n, *net.W.shape), net.W.dtype)

    def update(self, net, step, state, key):
        before = jnp.concatenate([immediate(net, step)[None], state[:-1]])
        traces = 0.7 * state + 0.3 * before
        return credit(net, step)[:, None] * traces[-1], traces


@case("memory")
class FoldedBank(AbstractRule):
    """The same bank, folded into a matrix of n n rows."""

    def init(self, net, key):
        n, m = net.W.shape
        return {"bank": jnp.zeros((n * n, m), net.W.dtype)}

    def update(self, net, step, state, key):
        n, m = net.W.shape
        decay = lax.broadcasted_iota(net.W.dtype, (n, 1, 1), 0) / n
        bank = decay * state["bank"].reshape(n, n, m) + immediate(net, step)
        return credit(net, step)[:, None] * bank[n // 2], {"bank": bank.reshape(n * n, m)}


@case("memory")
class ListOfMatrices(AbstractRule):
    """The same bank as a list of n matrices: no leaf is large, their number is."""

    def init(self, net, key):
        return [jnp.zeros_like(net.W) for _ in range(net.n)]

    def update(self, net, step, state, key):
        bank = [(k / net.n) * trace + immediate(net, step) for k, trace in enumerate(state)]
        return credit(net, step)[:, None] * bank[-1], bank


@case("locality-time")
class Window(AbstractRule):
    """The last ten inputs, kept in rows; the eligibility is their sum, each with its own gain."""

    length: int = 10

    def init(self, net, key):
        n, m = net.W.shape
        return jnp.zeros((self.length, n), net.W.dtype), jnp.zeros((self.length, m), net.W.dtype)

    def update(self, net, step, state, key):
        v, r_hat = push(state[0], step.v), push(state[1], step.r_hat)
        post = credit(net, step) * jax.vmap(net.gain)(v)
        return post.T @ r_hat, (v, r_hat)


@case("locality-time")
class WindowInColumns(AbstractRule):
    """The same window kept in columns, moved on by a roll."""

    def init(self, net, key):
        return {"gains": jnp.zeros((net.n, 6), net.W.dtype), "inputs": jnp.zeros((net.W.shape[1], 6), net.W.dtype)}

    def update(self, net, step, state, key):
        gains = jnp.roll(state["gains"], 1, axis=1).at[:, 0].set(net.gain(step.v))
        inputs = jnp.roll(state["inputs"], 1, axis=1).at[:, 0].set(step.r_hat)
        eligibility = jnp.einsum("it,jt->ij", gains, inputs)
        return credit(net, step)[:, None] * eligibility, {"gains": gains, "inputs": inputs}


@case("locality-time")
class RingBuffer(AbstractRule):
    """A ring of rows with a clock that says where to write; read where it was written five steps ago."""

    def init(self, net, key):
        return {"ring": jnp.zeros((8, net.W.shape[1]), net.W.dtype), "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        now = state["clock"].steps
        ring = lax.dynamic_update_slice(state["ring"], step.r_hat[None], (now % 8, jnp.zeros_like(now)))
        old = lax.dynamic_index_in_dim(ring, (now + 3) % 8, keepdims=False)
        G = jnp.outer(credit(net, step) * net.gain(step.v), 0.5 * step.r_hat + 0.5 * old)
        return G, {"ring": ring, "clock": state["clock"].tick()}


@case("locality-time")
class ChainOfDelays(AbstractRule):
    """Six vectors, each the one before it one step later."""

    def init(self, net, key):
        return {name: jnp.zeros_like(net.W[0]) for name in "abcdef"}

    def update(self, net, step, state, key):
        a, b, c, d, e, f = (state[name] for name in "abcdef")
        post = credit(net, step) * net.gain(step.v)
        G = post[:, None] * (step.r_hat + a + b + c + d + e + f)
        return G, dict(zip("abcdef", (step.r_hat, a, b, c, d, e)))


@case("locality-time")
class FlatWindow(AbstractRule):
    """Seven steps of inputs in one vector."""

    def init(self, net, key):
        return jnp.zeros(7 * net.W.shape[1], net.W.dtype)

    def update(self, net, step, state, key):
        m = net.W.shape[1]
        window = jnp.concatenate([step.r_hat, state[:-m]])
        return jnp.outer(credit(net, step) * net.gain(step.v), window[:m] + 0.5 * window[-m:]), window


@case("locality-time")
class ScannedWindow(AbstractRule):
    """A loop over the stored steps, newest first."""

    def init(self, net, key):
        n, m = net.W.shape
        return {"v": jnp.zeros((9, n), net.W.dtype), "r_hat": jnp.zeros((9, m), net.W.dtype)}

    def update(self, net, step, state, key):
        v = jnp.concatenate([step.v[None], state["v"][:-1]])
        r_hat = jnp.concatenate([step.r_hat[None], state["r_hat"][:-1]])

        def back(carry, at):
            c, G = carry
            return ((1 - net.alpha) * c, G + jnp.outer(c * net.gain(at[0]), at[1])), None

        start = (credit(net, step), jnp.zeros_like(net.W))
        return lax.scan(back, start, (v, r_hat))[0][1], {"v": v, "r_hat": r_hat}


@case("locality-time", "iii", "vi", "vii")
class GradThroughTenSteps(AbstractRule):
    """Autodiff through ten stored steps: the network runs again from where it was, and W backwards."""

    def init(self, net, key):
        return jnp.zeros((10, net.n), net.W.dtype), jnp.zeros((10, net.n_in), net.W.dtype)

    def update(self, net, step, state, key):
        starts, inputs = push(state[0], step.r_prev), push(state[1], step.r_hat[net.n : -1])

        def loss(W):
            again = LeakyRNN(W, net.W_out, net.b_out, net.alpha, net.activation, net.head)
            r = starts[-1]
            for x in inputs[::-1]:
                r = again.step(r, x)[2]
            return again.loss_and_error(again.readout(r), step.target)[0]

        return jax.grad(loss)(net.W), (starts, inputs)


@case("i")
class ThreeTimescalesOfError(AbstractRule):
    """Three running means of the loss: a vector that no neuron carries."""

    def init(self, net, key):
        return jnp.zeros(3, net.W.dtype)

    def update(self, net, step, state, key):
        decay = 1 - 0.5 ** (1 + jnp.arange(3))
        means = decay * state + (1 - decay) * jnp.sum(step.error**2)
        return (means[0] - means[2]) * jnp.outer(step.r, step.r_hat), means


@case("i")
class Oscillator(AbstractRule):
    """A phase of two numbers, turned at each step, gates plasticity."""

    def init(self, net, key):
        return {"phase": jnp.array([1.0, 0.0], net.W.dtype)}

    def update(self, net, step, state, key):
        cosine, sine = state["phase"][0], state["phase"][1]
        phase = jnp.stack([0.8 * cosine - 0.6 * sine, 0.6 * cosine + 0.8 * sine])
        return (1 + phase[0]) * credit(net, step)[:, None] * immediate(net, step), {"phase": phase}


@case("i")
class Histogram(AbstractRule):
    """The share of the units in each of four bins of their rates, averaged in time."""

    def init(self, net, key):
        return jnp.zeros(4, net.W.dtype)

    def update(self, net, step, state, key):
        above = step.r[:, None] > jnp.linspace(-0.75, 0.75, 4, dtype=net.W.dtype)
        share = 0.9 * state + 0.1 * above.mean(0)
        return jnp.max(share) * credit(net, step)[:, None] * immediate(net, step), share
