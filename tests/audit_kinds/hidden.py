"""Arrays from outside the rule (the contract). Kind 9, patterns of few values; kind 19, pieces of arrays, and none at all."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from audit_kinds.case import Plain, Recurrent, Traced, credit, gated, influence, shows, twin

# Kind 9, refused by name: zeros and ones, or signs, that someone drew are hidden state like other numbers. The twins' patterns
# are made by the rule itself from n alone, or drawn in init and kept.

SIGNS = np.random.default_rng(9).choice([-1.0, 1.0], size=(40, 60))
WIRING = np.random.default_rng(1).integers(0, 2, size=(40, 60))
TABLES = SimpleNamespace(shuffled=np.eye(40)[np.random.default_rng(2).permutation(40)])


def through(net, step, c):
    """The immediate gradient for some credit."""
    return jnp.outer(c * net.gain(step.v), step.r_hat)


@shows(9, "contract", "refused", named="SIGNS")
class SignsOfTheModule(Plain):
    """Feedback by signs that the module holds."""

    def update(self, net, step, state, key):
        return through(net, step, step.error @ SIGNS[: net.n_out, : net.n]), None


@shows(9, "contract", "refused", named="signs")
def signs_of_a_factory():
    """The same, the signs a factory's own."""
    signs = np.random.default_rng(3).choice([-1.0, 1.0], size=(40, 40))

    class SignFeedback(Plain):
        def update(self, net, step, state, key):
            return through(net, step, jnp.einsum("o,on->n", step.error, signs[: net.n_out, : net.n])), None

    return SignFeedback()


@shows(9, "contract", "refused", named="mask")
def mask_of_a_factory():
    """A mask of truth values on synapses of the rule's own."""
    mask = np.random.default_rng(4).random((40, 40)) < 0.3

    class Sparse(Recurrent):
        def update(self, net, step, state, key):
            return gated(net, step, jnp.where(mask[: net.n, : net.n], state, 0.0) @ step.r), state

    return Sparse()


@shows(9, "contract", "refused", named="(?i)wiring")
class WiringAsADefault(Traced):
    """Zeros and ones as an argument's default."""

    def update(self, net, step, state, key, wiring=WIRING):
        n, m = net.W.shape
        B = 0.9 * state + influence(net, step) * wiring[:n, :m]
        return credit(net, step)[:, None] * B, B


@shows(9, "contract", "refused", named="flips")
def flips_in_a_helper():
    """Signs that a helper of the factory's closes over."""
    flips = np.random.default_rng(8).choice([-1, 1], size=(40, 40))

    def feedback(error, n):
        return jnp.tensordot(error, flips[: error.shape[0], :n], 1)

    class Helped(Plain):
        def update(self, net, step, state, key):
            return through(net, step, feedback(step.error, net.n)), None

    return Helped()


@shows(9, "contract", "refused", named="shuffled|TABLES")
class ShuffledUnits(Plain):
    """Zeros and ones that deal the units out anew, in a namespace of the module."""

    def update(self, net, step, state, key):
        return gated(net, step, jnp.asarray(TABLES.shuffled[: net.n, : net.n]) @ step.r), None


@shows(9, "contract", "refused", named="pattern")
class PatternOfTheClass(Plain):
    """Signs that the class holds, beside its fields."""

    pattern = np.sign(np.random.default_rng(5).normal(size=60)).astype(np.int8)

    def update(self, net, step, state, key):
        return gated(net, step, step.r) * self.pattern[: step.r_hat.shape[0]], None


@twin(9, "contract", "accepted")
class SignsInTurn(Plain):
    """Every other unit's sign is minus, computed from n."""

    def update(self, net, step, state, key):
        signs = 1.0 - 2.0 * (jnp.arange(net.n) % 2)
        return gated(net, step, signs * step.r), None


@twin(9, "contract", "accepted")
class SignsOfItsOwn(Plain):
    """Signs drawn in init and kept in the state."""

    def init(self, net, key):
        return jax.random.rademacher(key, (net.n_out, net.n), float)

    def update(self, net, step, state, key):
        return through(net, step, step.error @ state), state


@twin(9, "contract", "accepted")
class LowerTriangle(Recurrent):
    """A mask that NumPy makes from n within the rule."""

    def update(self, net, step, state, key):
        mask = np.tril(np.ones((net.n, net.n)))
        return gated(net, step, (state * mask) @ step.r), state


# Kind 19, refused by the name of the array, not as something unnamed: a piece of it was cut off before it was used. The twins'
# factories close over nothing, or over numbers and functions, and are judged.


@shows(19, "contract", "refused", named="weights")
def piece_of_an_array():
    """A corner of an array of NumPy."""
    weights = np.random.default_rng(6).normal(size=(40, 40))

    class Corner(Plain):
        def update(self, net, step, state, key):
            return through(net, step, step.error @ weights[: net.n_out, : net.n]), None

    return Corner()


@shows(19, "contract", "refused", named="kernel")
def piece_worked_on():
    """A piece of an array, worked on by NumPy first."""
    kernel = np.random.default_rng(7).normal(size=60)

    class Worked(Traced):
        def update(self, net, step, state, key):
            decay = 1 / (1 + np.exp(-np.abs(kernel[: net.n])))
            B = decay[:, None] * state + influence(net, step)
            return credit(net, step)[:, None] * B, B

    return Worked()


@shows(19, "contract", "refused", named="tuning")
def piece_two_functions_out():
    """An array of a factory's factory, of JAX, cut row by row."""
    tuning = jax.random.normal(jax.random.key(0), (40, 40))

    def factory():
        class Tuned(Plain):
            def update(self, net, step, state, key):
                u = jnp.stack([tuning[i, : net.n] @ step.r for i in range(net.n)])
                return gated(net, step, u), None

        return Tuned()

    return factory()


@shows(19, "contract", "refused", named="offsets")
def piece_in_a_lambda():
    """A piece that a function, handed to the rule's helper, closes over."""
    offsets = np.linspace(-1, 1, 60) ** 3

    class Offset(Plain):
        def update(self, net, step, state, key):
            moved = jax.tree.map(lambda r: r + offsets[: r.shape[0]], {"r": step.r})
            return gated(net, step, moved["r"]), None

    return Offset()


@twin(19, "contract", "accepted")
def factory_of_nothing():
    """RFLO from a factory that closes over nothing."""

    class Nothing(Traced):
        def update(self, net, step, state, key):
            B = (1 - net.alpha) * state + influence(net, step)
            return credit(net, step)[:, None] * B, B

    return Nothing()


@twin(19, "contract", "accepted")
def factory_with_a_ramp():
    """Decays that NumPy makes from n within the rule; the factory closes over nothing."""

    class Ramp(Traced):
        def update(self, net, step, state, key):
            B = np.linspace(0.5, 0.9, net.n)[:, None] * state + influence(net, step)
            return credit(net, step)[:, None] * B, B

    return Ramp()


@twin(19, "contract", "accepted")
def factory_with_a_window():
    """A smooth weighting of the units, cut from a longer one, all made within the rule."""

    class Window(Plain):
        def update(self, net, step, state, key):
            return gated(net, step, np.hanning(2 * net.n)[: net.n] * step.r), None

    return Window()


@twin(19, "contract", "accepted")
def factory_of_numbers(decay=0.8, squash=partial(jax.nn.leaky_relu, negative_slope=0.1)):
    """A number and a function from outside."""

    class Numbers(Traced):
        def update(self, net, step, state, key):
            B = decay * state + influence(net, step)
            return squash(credit(net, step))[:, None] * B, B

    return Numbers()
