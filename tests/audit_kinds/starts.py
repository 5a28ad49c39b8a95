"""What `init` computes. Kind 10, from W by functions of matrices (vii). Kind 18, programs that ask for at least n_out units."""

import jax
import jax.numpy as jnp

from audit_kinds.case import Plain, gated, influence, shows, twin
from recredit.rule import AbstractRule

# Kind 10, vii does not pass: feedback computed from the weights that it is to run back along is weight transport. The twins
# compute with the same functions from draws alone.


def fed_back(net, step, feedback):
    """A gradient by a feedback matrix (n, n), which brings rates of the credit from the units' targets to them."""
    rate = jnp.tanh(step.error @ net.W_out)
    return gated(net, step, feedback @ rate)


def fed_from_errors(net, step, feedback):
    """A gradient by a feedback matrix (n_out, n)."""
    return jnp.outer((step.error @ feedback) * net.gain(step.v), step.r_hat)


def drawn(net, key):
    return jax.random.normal(key, (net.n, net.n)) / net.n**0.5


@shows(10, "vii", "fail", "judgement")
class PseudoInverseOfTheReadOut(AbstractRule):
    """The best linear way back, from the read-out's weights."""

    def init(self, net, key):
        return jnp.linalg.pinv(net.W_out).T

    def update(self, net, step, state, key):
        return fed_from_errors(net, step, state), state


@shows(10, "vii", "fail", "judgement")
class RotationOfTheTranspose(AbstractRule):
    """The orthogonal factor of W_rec transposed."""

    def init(self, net, key):
        return {"F": jnp.linalg.qr(net.W_rec.T)[0], "B": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        B = 0.9 * state["B"] + influence(net, step)
        return fed_back(net, step, state["F"]) + 0.1 * B, {"F": state["F"], "B": B}


@shows(10, "vii", "fail", "judgement")
class TransposeByItsSingularVectors(AbstractRule):
    """W_rec transposed, put together from its singular vectors, those of small values left out."""

    def init(self, net, key):
        U, s, Vh = jnp.linalg.svd(net.W_rec)
        return ((Vh.T * jnp.where(s > 0.1, s, 0.0)) @ U.T,)

    def update(self, net, step, state, key):
        return fed_back(net, step, state[0]), state


@shows(10, "vii", "fail", "judgement")
class InverseOfTheWeights(AbstractRule):
    """The inverse of I + W_rec."""

    def init(self, net, key):
        return [jnp.linalg.inv(2 * jnp.eye(net.n) + net.W_rec)]

    def update(self, net, step, state, key):
        return fed_back(net, step, state[0]), state


@shows(10, "vii", "fail", "judgement")
class EigenvectorsOfBothWays(AbstractRule):
    """The eigenvectors of what W_rec and its transpose have in common."""

    def init(self, net, key):
        return {"F": jnp.linalg.eigh(net.W_rec + net.W_rec.T)[1]}

    def update(self, net, step, state, key):
        return fed_back(net, step, state["F"]), state


@shows(10, "vii", "fail", "judgement")
class SettledWayBack(AbstractRule):
    """What a linear network of the transposed weights settles to, by solve."""

    def init(self, net, key):
        return jnp.linalg.solve(jnp.eye(net.n) - 0.5 * net.W_rec.T, jnp.eye(net.n))

    def update(self, net, step, state, key):
        return fed_back(net, step, state), state


@twin(10, "vii", "pass")
class RandomRotation(AbstractRule):
    """The orthogonal factor of a draw."""

    def init(self, net, key):
        return {"F": jnp.linalg.qr(drawn(net, key))[0]}

    def update(self, net, step, state, key):
        return fed_back(net, step, state["F"]), state


@twin(10, "vii", "pass")
class DrawnAtASpectralRadius(AbstractRule):
    """A draw, scaled by its largest singular value."""

    def init(self, net, key):
        S = drawn(net, key)
        return (0.9 * S / jnp.linalg.svd(S, compute_uv=False)[0],)

    def update(self, net, step, state, key):
        return fed_back(net, step, state[0]), state


@twin(10, "vii", "pass")
class PseudoInverseOfADraw(AbstractRule):
    """The same functions on a draw."""

    def init(self, net, key):
        return jnp.linalg.pinv(jax.random.normal(key, (net.n_out, net.n))).T

    def update(self, net, step, state, key):
        return fed_from_errors(net, step, state), state


# Kind 18, judged without a crash: a rule that asks for no fewer units than outputs is a rule, and its costs are told. The
# twins cannot run at the sizes at which they are traced, and are refused in a sentence that says what went wrong.


@shows(18, "vii", "pass")
class OrthogonalFeedback(AbstractRule):
    """Feedback with orthogonal rows, by qr of a draw (n, n_out)."""

    def init(self, net, key):
        return jnp.linalg.qr(jax.random.normal(key, (net.n, net.n_out)))[0].T

    def update(self, net, step, state, key):
        return fed_from_errors(net, step, state), state


@shows(18, "vii", "pass")
class FeedbackOfSingularVectors(AbstractRule):
    """The same by the singular vectors of a draw (n_out, n)."""

    def init(self, net, key):
        _, _, Vh = jnp.linalg.svd(jax.random.normal(key, (net.n_out, net.n)), full_matrices=False)
        return {"F": Vh}

    def update(self, net, step, state, key):
        return fed_from_errors(net, step, state["F"]), state


@shows(18, "iii", "pass")
class FirstUnitsAreTaught(Plain):
    """The first n_out units are shown the label: a delta rule on them."""

    def update(self, net, step, state, key):
        taught = jnp.zeros(net.n).at[: net.n_out].set(step.r[: net.n_out] - step.target)
        return jnp.outer(taught, step.r_hat), None


@shows(18, "iii", "pass")
class OneUnitPerOutput(Plain):
    """Each output's error goes to one unit, by rows of the identity."""

    def update(self, net, step, state, key):
        c = step.error @ jnp.eye(net.n)[: net.n_out]
        return jnp.outer(c * net.gain(step.v), step.r_hat), None


@shows(18, "ii-stored", "pass")
class OrthogonalStart(AbstractRule):
    """JAX's own orthogonal initialiser, for n_out of the n rows."""

    def init(self, net, key):
        return (jax.nn.initializers.orthogonal()(key, (net.n, net.n))[: net.n_out],)

    def update(self, net, step, state, key):
        return fed_from_errors(net, step, state[0]), state


@twin(18, "contract", "refused", named=r"n ?= ?\d")
class PairsOfUnits(Plain):
    """It asks for an even number of units: the sentence says at how many it was traced."""

    def update(self, net, step, state, key):
        pairs = step.r.reshape(net.n // 2, 2).sum(1)
        return gated(net, step, jnp.repeat(pairs, 2)), None


@twin(18, "contract", "refused", named="the spring is broken")
class QuadraticUnits(AbstractRule):
    """It refuses sizes of its own accord: the sentence has its words."""

    def init(self, net, key):
        if net.n % 4:
            raise ValueError("the spring is broken")
        return jnp.zeros(net.n)

    def update(self, net, step, state, key):
        return gated(net, step, state), state
