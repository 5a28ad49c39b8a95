"""Helpers that the respelled rules keep in another module."""

import jax
import jax.numpy as jnp
from jax import lax


def told(net, step):
    """The credit c_bar by a sum over outputs."""
    return (step.error[:, None] * net.W_out).sum(0)


def told_by_einsum(net, step):
    """The credit c_bar by einsum."""
    return jnp.einsum("o,ok->k", step.error, net.W_out)


def speed(net, step):
    """alpha D, from the voltage, with the square written out."""
    y = jnp.tanh(step.v)
    return net.alpha - net.alpha * y * y


def spread(net, step):
    """The Jacobian, by einsum and an identity from a comparison."""
    index = jnp.arange(net.n)
    same = (index[:, None] == index[None, :]).astype(net.W.dtype)
    return (1 - net.alpha) * same + jnp.einsum("i,ij->ij", speed(net, step), net.W[:, : net.n])


@jax.jit
def spread_in_jit(alpha, W, gains):
    """The Jacobian, row by row under vmap, in a jit of its own."""
    n = W.shape[0]
    return jax.vmap(lambda one, g, row: (1 - alpha) * one + g * row[:n])(jnp.eye(n, dtype=W.dtype), gains, W)


def size(x):
    """The Frobenius norm by a plain sum."""
    return jnp.sqrt(jnp.sum(x * x))


def size_by_einsum(x):
    """The same by a contraction of the array with itself."""
    return jnp.sqrt(jnp.tensordot(x, x, x.ndim))


def ratio(x, y):
    """The square root of the quotient of two sizes."""
    return (size(x) / size(y)) ** 0.5


def times(a, b):
    """A matrix product by broadcast and sum."""
    return (a[:, :, None] * b[None, :, :]).sum(axis=1)


def times_by_rows(a, b):
    """A matrix (or matrix-vector) product, one row of `a` at each round of a loop."""
    out = jnp.zeros((a.shape[0], *b.shape[1:]), b.dtype)
    return lax.fori_loop(0, a.shape[0], lambda i, c: c.at[i].set(jnp.tensordot(a[i], b, 1)), out)


def times_by_columns(a, b):
    """A matrix product, one column of `b` at each round of a scan."""
    return lax.scan(lambda carry, column: (carry, a @ column), None, b.T)[1].T
