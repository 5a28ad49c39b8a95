"""Rules that are no functions of what they are given: numbers drawn by NumPy, clocks, lists and counters of Python's."""

import itertools
import random
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from audit_kinds.case import Plain, Recurrent, Traced, credit, gated, influence

CALLS = []
SEEN = SimpleNamespace(steps=0)


class DrawsByNumPy(Plain):
    """A number of NumPy's generator, frozen when the program is traced."""

    def update(self, net, step, state, key):
        return np.random.rand() * gated(net, step, step.r), None


class NoiseByNumPy(Traced):
    """A vector of noise of NumPy's."""

    def update(self, net, step, state, key):
        B = 0.9 * state + influence(net, step)
        return (credit(net, step) + 0.1 * np.random.normal(size=net.n))[:, None] * B, B


class StartsByNumPy(Recurrent):
    """Synapses drawn by a new generator of NumPy's in init, not from the key."""

    def init(self, net, key):
        return jnp.asarray(np.random.default_rng().normal(size=(net.n, net.n)))

    def update(self, net, step, state, key):
        return gated(net, step, state @ step.r), state


class DrawsByPython(Plain):
    """A coin of Python's own."""

    def update(self, net, step, state, key):
        G = gated(net, step, step.r)
        return (G if random.random() < 0.5 else G * random.random()), None


class ReadsTheClock(Plain):
    """A rate that falls with the time of day."""

    def update(self, net, step, state, key):
        return gated(net, step, step.r) / (1 + time.time() % 60), None


class CountsInAList(Plain):
    """A list of the module grows with each call, and its length is the rate."""

    def update(self, net, step, state, key):
        CALLS.append(1)
        return gated(net, step, step.r) / len(CALLS), None


class CountsInAnAttribute(Plain):
    """The same by an attribute."""

    def update(self, net, step, state, key):
        SEEN.steps += 1
        return 0.9**SEEN.steps * gated(net, step, step.r), None


def counter_of_a_factory():
    """The same by an iterator that the factory closes over."""
    count = itertools.count(1)

    class Counts(Traced):
        def update(self, net, step, state, key):
            B = (1 - 1 / next(count)) * state + influence(net, step)
            return credit(net, step)[:, None] * B, B

    return Counts()


def keeps_what_it_saw():
    """A list that takes in what each step brought, for no one."""
    seen = []

    class Keeps(Plain):
        def update(self, net, step, state, key):
            seen.append(step.r)
            return gated(net, step, step.r), None

    return Keeps()


def remembers_outside():
    """A namespace that holds the rates of the step before, in place of the state."""
    memory = {"r": 0.0}

    class Remembers(Plain):
        def update(self, net, step, state, key):
            before, memory["r"] = memory["r"], step.r
            return gated(net, step, before + step.r), None

    return Remembers()


IMPURE = {
    make.__name__: make
    for make in (
        DrawsByNumPy,
        NoiseByNumPy,
        StartsByNumPy,
        DrawsByPython,
        ReadsTheClock,
        CountsInAList,
        CountsInAnAttribute,
        counter_of_a_factory,
        keeps_what_it_saw,
        remembers_outside,
    )
}


class ListOfItsOwn(Plain):
    """A list that lives for one call: pure."""

    def update(self, net, step, state, key):
        rows = []
        for c in credit(net, step) * net.gain(step.v):
            rows.append(c * step.r_hat)
        return jnp.stack(rows), None


class DrawsFromTheKey(Traced):
    """Noise from the key that the rule is given: pure."""

    def update(self, net, step, state, key):
        B = 0.9 * state + influence(net, step)
        return (credit(net, step) + 0.1 * jax.random.normal(key, (net.n,)))[:, None] * B, B


class CountsWithinACall(Plain):
    """An iterator and a counter that live for one call: pure."""

    def update(self, net, step, state, key):
        count, total = itertools.count(1), jnp.zeros(net.n)
        for u in (step.r, step.r_prev):
            total = total + u / next(count)
        return gated(net, step, total), None


PURE = {make.__name__: make for make in (ListOfItsOwn, DrawsFromTheKey, CountsWithinACall)}
