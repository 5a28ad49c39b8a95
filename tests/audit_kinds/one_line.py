"""Rules in one statement and in many: where a line ends decides nothing."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from audit_kinds.case import Plain, Recurrent, Traced, TwoRecurrent, credit, gated, influence
from recredit.rule import AbstractRule


@dataclass(frozen=True)
class Pair:
    """A rule written twice, and what is right to say of it on one criterion."""

    one: type[AbstractRule]
    many: type[AbstractRule]
    criterion: str
    right: str


class NormalisedLMS(Plain):
    """Error times input over the input's power: two sums and no matrix but W_out."""

    def update(self, net, step, state, key):
        return jnp.outer(step.error @ net.W_out, step.r_hat) / (1e-3 + step.r_hat @ step.r_hat), None


class NormalisedLMSInLines(Plain):
    def update(self, net, step, state, key):
        power = jnp.dot(step.r_hat, step.r_hat)
        c = jnp.dot(step.error, net.W_out)
        G = c[:, None] * step.r_hat[None, :]
        G = G / (1e-3 + power)
        return G, None


class TracesTimesLoss(Traced):
    """RFLO times the summed squared error."""

    def update(self, net, step, state, key):
        B = (1 - net.alpha) * state + net.gain(step.v)[:, None] * step.r_hat[None, :]
        return (step.error @ net.W_out)[:, None] * B * (step.error**2).sum(), B


class TracesTimesLossInLines(Traced):
    def update(self, net, step, state, key):
        gain = net.gain(step.v)
        P = jnp.outer(gain, step.r_hat)
        B = (1 - net.alpha) * state + P
        loss = jnp.sum(step.error * step.error)
        c = step.error @ net.W_out
        gate = c * loss
        return gate[:, None] * B, B


class TwoSetsHeard(TwoRecurrent):
    """Two products added, each of stored synapses and rates."""

    def update(self, net, step, state, key):
        return gated(net, step, state[0] @ step.r + state[1] @ step.r_prev + jnp.mean(step.error**2)), state


class TwoSetsHeardInLines(TwoRecurrent):
    def update(self, net, step, state, key):
        first, second = state
        u = first @ step.r
        u = u + second @ step.r_prev
        mean = jnp.mean(step.error**2)
        return gated(net, step, u + mean), state


class BrokenAcrossLines(Recurrent):
    """What a unit hears times a sum of squares, the statement broken wherever it may be."""

    def update(self, net, step, state, key):
        # fmt: off
        u = (
            state
            @ step.r
        ) * jnp.sum(
            step.r_prev
            ** 2
        )
        # fmt: on
        return gated(net, step, u), state


class OnOneLine(Recurrent):
    def update(self, net, step, state, key):
        return gated(net, step, (state @ step.r) * jnp.sum(step.r_prev**2)), state


class CentredHebb(Plain):
    """The product of two vectors without their means."""

    def update(self, net, step, state, key):
        return -jnp.outer(step.r - step.r.sum() / net.n, step.r_hat - step.r_hat.sum() / step.r_hat.size), None


class CentredHebbInLines(Plain):
    def update(self, net, step, state, key):
        post_mean = step.r.mean()
        pre_mean = step.r_hat.mean()
        post = step.r - post_mean
        pre = step.r_hat - pre_mean
        return -jnp.einsum("i,j->ij", post, pre), None


class OnlyALambda(Recurrent):
    """A delta rule in a single expression: two sums over different axes."""

    update = lambda self, net, step, S, key: (  # noqa: E731
        gated(net, step, S @ step.r * (step.error @ step.error)),
        S + 0.01 * jnp.outer(step.r - S @ step.r_prev, step.r_prev),
    )


class OnlyALambdaInLines(Recurrent):
    def update(self, net, step, state, key):
        heard = state @ step.r
        loss = step.error @ step.error
        G = gated(net, step, heard * loss)
        surprise = step.r - state @ step.r_prev
        return G, state + 0.01 * jnp.outer(surprise, step.r_prev)


class GainTimesWeights(Recurrent):
    """A matrix computed on the spot and read: in one statement with a sum of squares."""

    def update(self, net, step, state, key):
        return gated(net, step, (net.gain(step.v)[:, None] * state) @ step.r * jnp.sum(step.error**2)), state


class GainTimesWeightsInLines(Recurrent):
    def update(self, net, step, state, key):
        effective = net.gain(step.v)[:, None] * state
        u = effective @ step.r
        loss = jnp.sum(step.error**2)
        return gated(net, step, u * loss), state


class ProductOfMatrices(TwoRecurrent):
    """A product of two matrices beside a vector's, in one statement."""

    def update(self, net, step, state, key):
        return gated(net, step, (state[0] @ state[1]).max(1) + state[0] @ step.r), state


class ProductOfMatricesInLines(TwoRecurrent):
    def update(self, net, step, state, key):
        first, second = state
        paths = first @ second
        strongest = paths.max(axis=1)
        u = first @ step.r
        return gated(net, step, strongest + u), state


class SentTwice(TwoRecurrent):
    """A linear image passed on, both products in one expression."""

    def update(self, net, step, state, key):
        return credit(net, step)[:, None] * influence(net, step) + jnp.outer(state[1] @ (state[0] @ step.r), step.r_hat), state


class SentTwiceInLines(TwoRecurrent):
    def update(self, net, step, state, key):
        heard = jnp.matmul(state[0], step.r)
        again = jnp.matmul(state[1], heard)
        P = influence(net, step)
        return credit(net, step)[:, None] * P + jax.vmap(lambda a: a * step.r_hat)(again), state


PAIRS = {
    pair.one.__name__: pair
    for pair in (
        Pair(NormalisedLMS, NormalisedLMSInLines, "ii-stored", "pass"),
        Pair(TracesTimesLoss, TracesTimesLossInLines, "ii-stored", "pass"),
        Pair(TwoSetsHeard, TwoSetsHeardInLines, "ii-stored", "pass"),
        Pair(BrokenAcrossLines, OnOneLine, "ii-stored", "pass"),
        Pair(CentredHebb, CentredHebbInLines, "ii-stored", "pass"),
        Pair(OnlyALambda, OnlyALambdaInLines, "ii-stored", "pass"),
        Pair(GainTimesWeights, GainTimesWeightsInLines, "ii-stored", "fail"),
        Pair(ProductOfMatrices, ProductOfMatricesInLines, "iv", "fail"),
        Pair(SentTwice, SentTwiceInLines, "iii", "fail"),
    )
}
