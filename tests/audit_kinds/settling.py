"""Kind 24, credit that settles in rounds, through synapses of which each unit has some (ii-stored, iii, iv)."""

import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import Plain, Recurrent, Traced, credit, gated, influence, shows, twin

# ii-stored and iii pass: every round sends rates through the same stored synapses. The rounds are no matrix.


@shows(24, "iii", "pass")
class RoundsOfALoop(Recurrent):
    """Four rounds of `fori_loop`, the diagonal masked."""

    def settled(self, net, step, lateral):
        """The signal to which the rounds lead."""
        c, others = credit(net, step), 1 - jnp.eye(net.n)
        return lax.fori_loop(0, 4, lambda _, u: u + 0.3 * (c - u - (lateral * others) @ jnp.tanh(u)), c)

    def update(self, net, step, state, key):
        u = self.settled(net, step, state)
        return gated(net, step, u), state + 0.1 * net.alpha * (jnp.outer(step.r, step.r) - state)


@shows(24, "iii", "pass")
class RoundsByScan(RoundsOfALoop):
    """Six rounds of `scan`, through the transposed synapses, the diagonal set to 0."""

    def settled(self, net, step, lateral):
        c, others = credit(net, step), jnp.fill_diagonal(lateral, 0.0, inplace=False)
        return lax.scan(lambda u, _: (0.7 * u + 0.3 * (c + jnp.tanh(u) @ others), None), c, length=6)[0]


@shows(24, "iii", "pass")
class RoundsWrittenOut(RoundsOfALoop):
    """Three rounds of a Python loop over products spelt as sums, the diagonal left out by `where`."""

    def settled(self, net, step, lateral):
        c, own = credit(net, step), jnp.eye(net.n, dtype=bool)
        u = c
        for _ in range(3):
            u = 0.5 * u + c - jnp.where(own, 0.0, lateral * jax.nn.relu(u)).sum(axis=1)
        return u


@shows(24, "iii", "pass")
class RoundsAmongNeighbours(RoundsOfALoop):
    """Each unit hears the units up to two places away, in five rounds."""

    def settled(self, net, step, lateral):
        c, at = credit(net, step), jnp.arange(net.n)
        apart = jnp.abs(at[:, None] - at)
        near = ((apart > 0) & (apart <= 2)).astype(c.dtype)
        return lax.fori_loop(0, 5, lambda _, u: u + 0.2 * (c - u + jnp.einsum("ij,j->i", near * lateral, jax.nn.sigmoid(u))), c)


@shows(24, "iii", "pass")
class RoundsBetweenBlocks(RoundsOfALoop):
    """Two halves inhibit each other, unit by unit, and not within themselves."""

    def settled(self, net, step, lateral):
        c, half = credit(net, step), jnp.arange(net.n) < net.n // 2
        across = (half[:, None] != half).astype(c.dtype)
        return lax.fori_loop(0, 4, lambda _, u: u + 0.3 * (c - u - (lateral * across) @ jnp.tanh(u)), c)


@shows(24, "ii-stored", "pass")
class RoundsOfTwoPopulations(Plain):
    """Three rounds of excitation and inhibition, among units of each sort (but none onto itself) and between the sorts."""

    def init(self, net, key):
        return jax.random.normal(key, (4, net.n, net.n)) / net.n**0.5

    def settled(self, net, step, state):
        c, others = credit(net, step), 1 - jnp.eye(net.n)
        (ee, ei, ie, ii), e, i = jnp.abs(state), c, jnp.zeros(net.n)
        for _ in range(3):
            fire, calm = jnp.tanh(e), jnp.tanh(i)
            e, i = (
                e + 0.3 * (c - e + (ee * others) @ fire - ei @ calm),
                i + 0.3 * (ie @ fire - (ii * others) @ calm - i),
            )
        return e

    def update(self, net, step, state, key):
        return gated(net, step, self.settled(net, step, state)), state


@shows(24, "ii-stored", "pass")
class RoundsOfTwoPopulationsStacked(RoundsOfTwoPopulations):
    """The same as one network of 2n units, whose synapses are put together from four blocks."""

    def settled(self, net, step, state):
        c = jnp.concatenate([credit(net, step), jnp.zeros(net.n)])
        all_of_them = jnp.block([[state[0], -state[1]], [state[2], -state[3]]]) * (1 - jnp.eye(2 * net.n))
        return lax.fori_loop(0, 4, lambda _, u: u + 0.3 * (c - u + all_of_them @ jnp.tanh(u)), c)[: net.n]


# iv fails: a mask makes no vector of a matrix.


@shows(24, "iv", "fail")
class MaskedInfluence(Plain):
    """Influences are handed on through the synapses from other units: each of their columns is a vector of its own."""

    def init(self, net, key):
        return jnp.zeros((net.n, net.n))

    def update(self, net, step, state, key):
        M = (net.W_rec * (1 - jnp.eye(net.n))) @ state + jnp.diag(net.gain(step.v))
        return jnp.outer(credit(net, step) @ M, step.r_hat), M


# The twins fail: what is sent is no rate, or what it is sent through no stored strength.


@twin(24, "iii", "fail")
class RoundsOfTheSignalItself(RoundsOfALoop):
    """The rounds send the signal, not a rate that it is turned into."""

    def settled(self, net, step, lateral):
        c, others = credit(net, step), 1 - jnp.eye(net.n)
        return lax.fori_loop(0, 4, lambda _, u: u + 0.3 * (c - u - (lateral * others) @ u), c)


@twin(24, "iii", "fail")
class RoundsOfNumbersOfSynapses(Traced):
    """The rounds send the traces of one unit's synapses through W."""

    def update(self, net, step, state, key):
        B = 0.9 * state + influence(net, step)
        others = 1 - jnp.eye(net.n)
        u = lax.fori_loop(0, 4, lambda _, u: u + 0.3 * (B[0, : net.n] - (net.W_rec * others) @ u), B[0, : net.n])
        return gated(net, step, u), B


@twin(24, "ii-stored", "fail")
class RoundsThatReadjust(RoundsOfALoop):
    """The synapses are closed and opened by what the units do in each round."""

    def settled(self, net, step, lateral):
        c, others = credit(net, step), 1 - jnp.eye(net.n)

        def settle(_, u):
            open_ = jax.nn.sigmoid(u[:, None] * step.r)
            return u + 0.3 * (c - u - (lateral * others * open_) @ jnp.tanh(u))

        return lax.fori_loop(0, 4, settle, c)


@twin(24, "ii-stored", "fail")
class RoundsThatLearn(RoundsOfALoop):
    """The matrix is learned anew within each round, and used in the next."""

    def settled(self, net, step, lateral):
        c, others = credit(net, step), 1 - jnp.eye(net.n)

        def settle(_, carried):
            u, L = carried
            fire = jnp.tanh(u)
            return u + 0.3 * (c - u - (L * others) @ fire), L + 0.1 * jnp.outer(fire, fire)

        return lax.fori_loop(0, 4, settle, (c, lateral))[0]
