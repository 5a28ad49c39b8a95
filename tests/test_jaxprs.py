"""A jaxpr is read alike wherever it is read: what is merely called is read as if it were written there, a loop is not."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recredit.audit.measurement.flat_program import FlatProgram
from recredit.audit.program.graph import Graph
from recredit.audit.program.unfold import Unfolding
from recredit.jaxprs import called, programs_of, scan_split
from recredit.training.programs import evaluate

KEY = jax.random.key(0)
X, OFFSET = jnp.array([0.5, 1.0, 2.0]), jnp.array([1.0, 2.0, 3.0])


def custom_jvp(function):
    made = jax.custom_jvp(function)
    made.defjvp(partial(jax.jvp, function))
    return made


def custom_vjp(function):
    made = jax.custom_vjp(function)
    made.defvjp(lambda x: (function(x), x), lambda x, g: jax.vjp(function, x)[1](g))
    return made


def custom_vmap(function):
    made = jax.custom_batching.custom_vmap(function)
    made.def_vmap(lambda size, batched, x: (jax.vmap(function)(x), True))
    return made


CALLS = {
    "jit": jax.jit,
    "checkpoint": jax.checkpoint,
    "custom_jvp": custom_jvp,
    "custom_vjp": custom_vjp,
    "custom_vmap": custom_vmap,
    "composite": partial(jax.lax.composite, name="recredit.example"),
    "within another": lambda function: jax.jit(jax.checkpoint(jax.jit(function))),
}


@pytest.mark.parametrize("way", CALLS)
def test_what_is_merely_called_is_read_as_if_it_were_written_there(way):
    plain = jax.make_jaxpr(lambda x: x * 2 + OFFSET)(X)
    closed = jax.make_jaxpr(CALLS[way](lambda x: x * 2 + OFFSET))(X)
    assert [len(programs_of(eqn)) for eqn in closed.eqns] == [1]
    flat = FlatProgram.of(closed)
    assert [op.name for op in flat.ops] == ["mul", "add"]
    graph = Graph()
    inputs = [graph.leaves("x", X.shape)]
    read = [Unfolding(graph).run(program.jaxpr, program.consts, inputs)[0].tolist() for program in (plain, closed)]
    assert read[0] == read[1]  # the same nodes
    for found in (flat.run([X]), evaluate(closed, [X])):
        np.testing.assert_array_equal(found[0], X * 2 + OFFSET)


NO_CALLS = {
    "scan": lambda x: jax.lax.scan(lambda c, _: (c * x, None), x, None, 3)[0],
    "while": lambda x: jax.lax.while_loop(lambda c: c.sum() < 9, lambda c: c * 2, x),
    "cond": lambda x: jax.lax.cond(x[0] > 0, lambda x: x, lambda x: -x, x),
    "reduce": lambda x: jax.lax.reduce(x, 1.0, lambda a, b: a * b + 1, (0,)),
    "custom_linear_solve": lambda x: jax.lax.custom_linear_solve(lambda v: v * X, x, lambda _, b: b / X, symmetric=True),
}


@pytest.mark.parametrize("name", NO_CALLS)
def test_what_runs_a_program_otherwise_is_no_call(name):
    closed = jax.make_jaxpr(NO_CALLS[name])(X)
    (eqn,) = [eqn for eqn in closed.eqns if eqn.primitive.name == name]
    assert programs_of(eqn)
    assert called(eqn) is None
    graph = Graph()
    (out,) = Unfolding(graph).run(closed.jaxpr, closed.consts, [graph.leaves("x", X.shape)])
    assert out.shape == closed.out_avals[0].shape
    for found in (FlatProgram.of(closed).run([X]), evaluate(closed, [X])):
        np.testing.assert_array_equal(found[0], NO_CALLS[name](X))


SCANS = {  # and how many constants and carried values they have
    "all": (lambda x: jax.lax.scan(lambda c, y: ((c[0] * x[0], c[1] + y), (y, c[0])), (x, x[1]), x), (1, 2)),
    "nothing carried": (lambda x: jax.lax.scan(lambda c, y: (c, (x * y, y + 1)), None, x), (1, 0)),
    "nothing looped over": (lambda x: jax.lax.scan(lambda c, _: (c * x + OFFSET, c), x, None, 3), (2, 1)),
    "nothing stacked": (lambda x: jax.lax.scan(lambda c, y: (c * y, None), x, x, reverse=True), (0, 1)),
    "nothing but what is carried": (lambda x: jax.lax.scan(lambda c, _: (c * c, None), x, None, 3), (0, 1)),
    "keys": (lambda x: jax.lax.scan(lambda c, k: (c + jax.random.normal(k), c), x, jax.random.split(KEY, 3)), (0, 1)),
    "key carried": (lambda x: jax.lax.scan(lambda k, y: (jax.random.split(k)[0], y + x[0]), KEY, x), (1, 1)),
    "counted loop": (lambda x: jax.lax.fori_loop(0, 3, lambda i, c: c * x[i], x), (1, 2)),  # JAX carries the count
    "every entry": (lambda x: jax.lax.map(lambda y: y * x, x), (1, 0)),
    "every entry's gradient": (lambda x: jax.grad(lambda x: jax.lax.scan(lambda c, y: (c * y, None), 1.0, x)[0])(x), (0, 1)),
}


@pytest.mark.parametrize("name", SCANS)
def test_what_a_scan_is_given_is_told_apart(name):
    function, split = SCANS[name]
    eqn = [eqn for eqn in jax.make_jaxpr(function)(X).eqns if eqn.primitive.name == "scan"][-1]
    assert scan_split(eqn.params["jaxpr"], *([v.aval for v in atoms] for atoms in (eqn.invars, eqn.outvars))) == split
    if "num_consts" in eqn.params:  # as JAX itself kept it before 0.12
        assert (eqn.params["num_consts"], eqn.params["num_carry"]) == split
