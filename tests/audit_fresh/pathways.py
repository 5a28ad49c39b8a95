"""Feedback synapses: sparse, signed, depleted, through a few neurons."""

import jax
import jax.numpy as jnp
from jax import lax

from audit_fresh.case import FAIL, PASS, expects, leaky, random_matrix
from recredit.blocks.feedback import AbstractFeedback, RandomFeedback
from recredit.rule import AbstractRule


@expects(ii_stored=PASS, iii=PASS)
class SparseFeedback(AbstractRule):
    """Fixed synapses under a mask that is drawn once."""

    density: float = 0.5

    def init(self, net, key):
        a, b = jax.random.split(key)
        mask = jax.random.bernoulli(a, self.density, (net.n_out, net.n)).astype(float)
        return {"mask": mask, "K": random_matrix(b, net.n_out, net.n), "E": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        E = (1 - net.alpha) * state["E"] + jnp.outer(net.gain(step.v), step.r_hat)
        c = jnp.einsum("o,oi->i", step.error, state["K"] * state["mask"])
        return E * c[:, None], {**state, "E": E}


@expects(ii_stored=PASS, ii_local=PASS, vii=PASS)
class DaleFeedback(AbstractRule):
    """Kolen and Pollack's feedback, where each error neuron keeps its sign."""

    rate: float = 1e-3

    def init(self, net, key):
        a, b = jax.random.split(key)
        sign = jax.random.rademacher(a, (net.n_out,), jnp.float32)
        return sign, sign[:, None] * jnp.abs(random_matrix(b, net.n_out, net.n))

    def update(self, net, step, state, key):
        sign, K = state
        c = jnp.sum(step.error[:, None] * K, axis=0)
        K = K - self.rate * (step.error[:, None] * step.r[None, :] + 0.01 * K)
        K = sign[:, None] * jnp.clip(sign[:, None] * K, 0.0, None)
        return jnp.outer(c * net.gain(step.v), step.r_hat), (sign, K)


@expects(ii_stored=PASS, ii_local=PASS, vii=PASS)
class SaturatingKolenPollack(AbstractRule):
    """Kolen and Pollack's feedback: a strength is the tanh of what the same synapse stores."""

    rate: float = 0.1

    def init(self, net, key):
        return {"latent": random_matrix(key, net.n_out, net.n), "pre": jnp.zeros(net.W.shape[1])}

    def update(self, net, step, state, key):
        pre = state["pre"] * (1 - net.alpha) + net.alpha * step.r_hat
        latent = state["latent"]
        c = step.error @ jnp.tanh(2 * latent)
        G = jnp.einsum("i,j->ij", c * net.gain(step.v), pre)
        latent = latent - self.rate * net.alpha * (jnp.outer(step.error, step.r) + 0.1 * latent)
        return G, {"latent": latent, "pre": pre}


@expects(ii_stored=PASS, ii_local=PASS, iii=PASS)
class DepletingFeedback(AbstractRule):
    """What a synapse sends is its strength times its own resource."""

    def init(self, net, key):
        S = random_matrix(key, net.n_out, net.n)
        return S, jnp.ones_like(S), jnp.zeros(net.n)

    def update(self, net, step, state, key):
        S, resource, c_slow = state
        c = step.error @ (S * resource)
        used = jnp.tanh(jnp.abs(step.error))[:, None] * resource
        resource = resource + net.alpha * ((1 - resource) / 5 - used)
        c_slow = leaky(c_slow, c, net.alpha)
        return jnp.outer(c_slow * net.slope(step.v), step.r_hat), (S, resource, c_slow)


@expects(i=PASS, ii_stored=PASS, iii=PASS)
class CommitteeFeedback(AbstractRule):
    """The error goes through four neurons and on to all."""

    def init(self, net, key):
        k_in, k_out = jax.random.split(key)
        return {
            "into": random_matrix(k_in, 4, net.n_out),
            "out": random_matrix(k_out, 4, net.n),
            "B": jnp.zeros_like(net.W),
            "mean": jnp.zeros(net.n),
        }

    def update(self, net, step, state, key):
        votes = jnp.tanh(state["into"] @ step.error)
        c = votes @ state["out"]
        mean = leaky(state["mean"], step.r, net.alpha / 10)
        B = (1 - net.alpha) * state["B"] + net.alpha * jnp.outer(net.slope(step.v) * (1 + mean**2), step.r_hat)
        return c[:, None] * B, {**state, "B": B, "mean": mean}


# What passes the second matrix is half the first product.
@expects(iii=FAIL, ii_stored=PASS, iv=PASS)
class LinearBottleneck(AbstractRule):
    """The error goes through four neurons that pass it on linearly."""

    rank: int = 4

    def init(self, net, key):
        a, b = jax.random.split(key)
        return {"down": random_matrix(a, self.rank, net.n_out), "up": random_matrix(b, net.n, self.rank)}

    def update(self, net, step, state, key):
        hidden = state["down"] @ step.error
        c = state["up"] @ (0.5 * hidden)
        return jnp.outer(c * net.gain(step.v), step.r_hat), state


@expects(iii=PASS, ii_local=PASS, vii=PASS)
class RectifiedBottleneck(AbstractRule):
    """The label goes through four rectified neurons, whose synapses learn to predict the rates."""

    rank: int = 4
    rate: float = 1e-3

    def init(self, net, key):
        a, b = jax.random.split(key)
        return {"down": random_matrix(a, self.rank, net.n_out), "up": random_matrix(b, net.n, self.rank)}

    def update(self, net, step, state, key):
        hidden = jax.nn.relu(state["down"] @ step.target)
        predicted = state["up"] @ hidden
        up = state["up"] + self.rate * (step.r - predicted)[:, None] * hidden[None, :]
        return jnp.outer((step.r - predicted) * net.gain(step.v), step.r_hat), {"down": state["down"], "up": up}


@expects(ii_stored=PASS, iii=PASS, vii=PASS)
class FixedKernel(AbstractRule):
    """Credit is squashed, and goes through a kernel that is drawn and stays."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        k_A, k_kappa, k_fb = jax.random.split(key, 3)
        speed = jax.random.uniform(k_kappa, (net.n,), minval=0.2, maxval=1.0)
        return random_matrix(k_A, net.n, net.n), jnp.zeros_like(net.W), speed, self.feedback.init(net, k_fb)

    def update(self, net, step, state, key):
        A, B, speed, fb = state
        rate = net.alpha * speed[:, None]
        B = (1 - rate) * B + rate * net.slope(step.v)[:, None] * step.r_hat
        c = jnp.tanh(self.feedback(net, step, fb))
        return (c @ A)[:, None] * B, (A, B, speed, fb)


# The matrix that transmits readjusts with the receiving neuron.
@expects(ii_stored=FAIL, iii=PASS)
class ActivityGatedFeedback(AbstractRule):
    """Feedback synapses open when the neuron is more active than on average."""

    def init(self, net, key):
        return {"fb": random_matrix(key, net.n_out, net.n), "mean": jnp.zeros(net.n), "B": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        mean = leaky(state["mean"], step.r, net.alpha / 5)
        open_ = jax.nn.sigmoid(4 * (step.r - mean))
        effective = state["fb"] * open_[None, :]
        B = (1 - net.alpha) * state["B"] + jnp.outer(net.gain(step.v), step.r_hat)
        return jnp.matmul(step.error, effective)[:, None] * B, {"fb": state["fb"], "mean": mean, "B": B}


@expects(i=PASS, iii=PASS)
class PlateauOfApicalVoltage(AbstractRule):
    """A leaky apical voltage makes plateaus, which meet the presynaptic trace."""

    feedback: AbstractFeedback = RandomFeedback()
    threshold: float = 0.0

    def init(self, net, key):
        return {"apical": jnp.zeros(net.n), "pre": jnp.zeros(net.W.shape[1]), "fb": self.feedback.init(net, key)}

    def update(self, net, step, state, key):
        apical = leaky(state["apical"], self.feedback(net, step, state["fb"]), net.alpha)
        pre = leaky(state["pre"], step.r_hat, net.alpha)
        plateau = jnp.where(jnp.abs(apical) > self.threshold, jnp.tanh(apical), 0.0)
        return jnp.outer(plateau * net.gain(step.v), pre), {"apical": apical, "pre": pre, "fb": state["fb"]}


@expects(i=PASS, ii_local=PASS, iii=PASS)
class PlateauAboveOwnThreshold(AbstractRule):
    """Credit that exceeds an adaptive threshold of the neuron makes a plateau."""

    def init(self, net, key):
        return {
            "apical": random_matrix(key, net.n_out, net.n),
            "threshold": jnp.full(net.n, 0.1),
            "pre": jnp.zeros(net.W.shape[1]),
        }

    def update(self, net, step, state, key):
        drive = (state["apical"] * step.error[:, None]).sum(0)
        plateau = jnp.where(jnp.abs(drive) > state["threshold"], drive, 0.0)
        threshold = leaky(state["threshold"], jnp.abs(drive), net.alpha / 20)
        pre = leaky(state["pre"], step.r_hat, net.alpha / 2)
        G = jnp.outer(jnp.clip(plateau, -1, 1) * net.slope(step.v), pre)
        return G, {"apical": state["apical"], "threshold": threshold, "pre": pre}


@expects(ii_stored=PASS, iii=PASS, vi=PASS)
class SettledAndGated(AbstractRule):
    """Credit settles in a lateral network of its own; the input opens the traces."""

    sweeps: int = 5

    def init(self, net, key):
        a, b, c = jax.random.split(key, 3)
        return {
            "L": 0.3 * random_matrix(a, net.n, net.n),
            "fb": random_matrix(b, net.n, net.n_out),
            "gate": random_matrix(c, net.n, net.W.shape[1]),
            "E": jnp.zeros_like(net.W),
        }

    def update(self, net, step, state, key):
        drive = state["fb"] @ step.error
        u = lax.fori_loop(0, self.sweeps, lambda _, u: jnp.tanh(state["L"] @ u + drive), jnp.tanh(drive))
        open_ = net.alpha * jax.nn.sigmoid(state["gate"] @ step.r_hat)
        E = state["E"] + open_[:, None] * (jnp.outer(net.slope(step.v), step.r_hat) - state["E"])
        return u[:, None] * E, {**state, "E": E}


@expects(ii_stored=PASS, ii_local=PASS, iii=PASS, vi=PASS)
class SettledAgainstRivals(AbstractRule):
    """Apical voltages settle for four rounds through lateral synapses, which carry rates from the other neurons."""

    feedback: AbstractFeedback = RandomFeedback()
    rounds: int = 4

    def init(self, net, key):
        return jnp.zeros(net.n), jnp.zeros((net.n, net.n)), self.feedback.init(net, key)

    def update(self, net, step, state, key):
        u, lateral, fb = state
        c = self.feedback(net, step, fb)
        others = 1 - jnp.eye(net.n)

        def settle(_, u):
            return u + 0.3 * (c - u - (lateral * others) @ jnp.tanh(u))

        u = lax.fori_loop(0, self.rounds, settle, u)
        lateral = lateral + 0.2 * net.alpha * (jnp.outer(step.r, step.r) - lateral)
        return jnp.outer(u * net.gain(step.v), step.r_hat), (u, lateral, fb)
