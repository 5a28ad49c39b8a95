"""Does each matrix of a rule's state change continuously in time? Measured, by running the rule at ever finer time steps.

Inputs and labels stay constant over intervals of fixed physical duration, the weights stand still, and

    d_t = |S_t - S_{t-1}| / |S_t|,   max d ~ alpha^slope:   1 smooth, 1/2 diffusive, 0 jumps.

"All learning rates in proportion to alpha" is read off the rule's program, traced at each alpha; nothing is declared or named.
An array S of the state is *refined*, S <- S + (alpha / ALPHAS[0]) (U(S) - S), if its update U(S) = c S + ... has an explicit
term in S with 0 < c <= 1, made of numbers and refined arrays alone, and alpha enters nothing that multiplies S: an integrator
or a leak whose rate per step is hard-coded. All other arrays follow the rule as it is. One that is built anew with alpha at
each step is measured with alpha kept at ALPHAS[0], for it is no time step there (J -> I is no smoothness).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from jaxtyping import PRNGKeyArray

from recredit.audit.leaks import leaks
from recredit.network import LeakyRNN
from recredit.rule import AbstractRule, Step

ALPHAS = (0.25, 0.125, 0.0625, 0.03125)
N, N_IN, N_OUT = 8, 2, 2
RADIUS = 0.9  # the spectral radius of W_rec
HOLD, BURN_IN, DURATION = 1.0, 20.0, 20.0  # in the network's time constants
SEEDS = 32  # fewer leave the diffusive rules' slopes of about 1/2 uncertain by a tenth
LARGEST = 1e12  # a norm beyond it has diverged

INLINED = {"jit", "pjit", "closed_call", "core_call", "checkpoint", "remat"}
INLINED |= {"custom_jvp_call", "custom_vjp_call", "custom_vmap_call"}
ADDED = {"add", "add_any", "sub", "neg", "max", "min", "clamp", "scatter-add"}
MOVED = {"reshape", "squeeze", "expand_dims", "convert_element_type", "copy", "copy_p", "transpose", "broadcast_in_dim", "rev"}
MOVED |= {"slice", "concatenate", "stack", "pad"}
CHOSEN = {"select_n", "gather", "scatter", "dynamic_slice", "dynamic_update_slice"}  # by a condition or an index
SWITCHED = {"random_bits", "eq", "ne", "lt", "le", "gt", "ge", "sign", "floor", "ceil", "round"}  # the results jump


@dataclass(eq=False)
class Program:
    """A function of arrays as a flat list of operations on numbered values, its sub-programs inlined."""

    inputs: list[int]
    outputs: list[int]
    constants: dict[int, Any] = field(default_factory=dict)
    ops: list[tuple] = field(default_factory=list)  # (primitive, parameters, values read, values written, their avals)

    @classmethod
    def trace(cls, function: Callable, *arguments: Any) -> "Program":
        """The program of `function` at these arguments (arrays or their shapes)."""
        closed, count = jax.make_jaxpr(function)(*arguments), itertools.count()
        program = cls([next(count) for _ in closed.jaxpr.invars], [])

        def constant(value: Any) -> int:
            program.constants[number := next(count)] = value
            return number

        def write(primitive: Any, params: dict, ins: list[int], *outvars: Any) -> list[int]:
            program.ops.append((primitive, params, ins, outs := [next(count) for _ in outvars], [v.aval for v in outvars]))
            return outs

        def inline(jaxpr: Any, consts: list, ins: list[int]) -> list[int]:
            values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*map(constant, consts), *ins], strict=True))

            def read(atom: Any) -> int:
                return (
                    values[atom]
                    if not isinstance(atom, Literal)
                    else constant(np.asarray(atom.val, jnp.result_type(atom.aval)))
                )

            for eqn in jaxpr.eqns:
                ins, inner = [read(atom) for atom in eqn.invars], [p for p in eqn.params.values() if hasattr(p, "eqns")]
                if eqn.primitive.name in INLINED and inner:
                    outs = inline(getattr(inner[0], "jaxpr", inner[0]), getattr(inner[0], "consts", []), ins)
                elif eqn.primitive.name == "cond":  # every branch is computed, and one is chosen
                    cases = zip(*[inline(b.jaxpr, b.consts, ins[1:]) for b in eqn.params["branches"]], strict=True)
                    outs = [write(jax.lax.select_n_p, {}, [ins[0], *c], v)[0] for c, v in zip(cases, eqn.outvars, strict=True)]
                else:
                    outs = write(eqn.primitive, eqn.params, ins, *eqn.outvars)
                values |= dict(zip(eqn.outvars, outs, strict=True))
            return [read(atom) for atom in jaxpr.outvars]

        program.outputs = inline(closed.jaxpr, closed.consts, program.inputs)
        return program

    def run(self, arguments: list, lifted: dict[int, Any], written: dict[int, Callable]) -> list:
        """The outputs, with other constants where `lifted` has them, and some values changed as soon as they are written."""
        values = self.constants | lifted | dict(zip(self.inputs, arguments, strict=True))
        for primitive, params, ins, outs, _ in self.ops:
            result = primitive.bind(*[values[i] for i in ins], **primitive.get_bind_params(params))
            for out, value in zip(outs, result if primitive.multiple_results else [result], strict=True):
                values[out] = written[out](value) if out in written else value
        return [values[i] for i in self.outputs]


def that_differ(programs: list[Program]) -> tuple[set[int], set[int]]:
    """The constants that differ between the programs, and what is written by operations that do (all, if their number does)."""
    first, texts = programs[0], [[f"{op[0].name} {op[1:]}" for op in p.ops] for p in programs]
    if any(p.constants.keys() != first.constants.keys() or len(p.ops) != len(first.ops) for p in programs):
        return set(), {out for op in first.ops for out in op[3]}
    constants = {i for i, value in first.constants.items() if any(not np.array_equal(p.constants[i], value) for p in programs)}
    return constants, {out for op, *same in zip(first.ops, *texts, strict=True) if len(set(same)) > 1 for out in op[3]}


@dataclass(frozen=True)
class Known:
    """What is known of a value: `part`, the sum of its terms that are made of numbers, refined arrays and the array in
    question alone; whether it is `clean` of other terms; whether `alpha` entered it; whether it is a `switch`, true or false;
    and the arrays of the state that it is made `of`: 0 moved about, 1 changed, 2 times alpha.
    """

    part: Any = None
    clean: bool = False
    alpha: bool = False
    switch: bool = False
    of: dict[int, int] = field(default_factory=dict)


def follow(primitive: Any, params: dict, ins: list[Known], aval: Any, differs: bool) -> Known:
    """What is known of an operation's result (`differs`: the operation itself depends on alpha)."""
    name, of = primitive.name, {}
    for k, x in enumerate(ins):
        others = ins[:k] + ins[k + 1 :] if name in ("mul", "dot_general") else ins
        linear = name in ADDED | MOVED | CHOSEN | {"reduce_sum"}
        level = 2 if differs or (not linear and any(y.alpha for y in others)) else name not in MOVED | CHOSEN
        of |= {leaf: max(of.get(leaf, 0), was, level) for leaf, was in x.of.items()}
    sums = name.startswith(("reduce", "random")) or name == "dot_general" or primitive.multiple_results  # no explicit terms
    clean = not differs and not sums and all(x.clean for x in ins)
    switch = name in SWITCHED or any(x.switch for x in ins)
    terms = name in ADDED | MOVED or (name == "mul" and not switch) or (name == "div" and ins[1].clean)
    part = np.zeros(aval.shape, aval.dtype) if jnp.issubdtype(aval.dtype, np.number) else None
    if clean or (terms and not differs and any(np.any(x.part) for x in ins)):
        part = np.asarray(primitive.bind(*[np.asarray(x.part) for x in ins], **primitive.get_bind_params(params)))
    elif name == "select_n" and all(np.array_equal(x.part, ins[1].part) for x in ins[2:]):
        part = ins[1].part
    return Known(part, clean, differs or any(x.alpha for x in ins), switch, of)


def classify(program: Program, differ: set[int], given: list[Any], start: list[Any]) -> tuple[set[int], set[int]]:
    """The arrays of the state to refine, and those that only hold what alpha has entered, and forget it.

    `differ`: what depends on alpha. `given`: the network's and the step's arrays. `start`: the state at the start.
    """
    rng, refined, last = np.random.default_rng(0), set(), None

    def end(leaf: int, value: Any) -> Known:
        """What is known of the array's next value if this is its value now."""
        state = [Known(a if k in refined else np.zeros_like(a), k in refined) for k, a in enumerate(start)]
        seen = [Known(np.zeros(a.shape)) for a in given]
        known = {i: Known(a, i not in differ, i in differ) for i, a in program.constants.items()}
        known |= dict(zip(program.inputs, [*seen, *state, Known()], strict=True))
        known[program.inputs[len(given) + leaf]] = Known(value, True, of={leaf: 0})
        for primitive, params, ins, outs, avals in program.ops:
            for out, aval in zip(outs, avals, strict=True):
                known[out] = follow(primitive, params, [known[i] for i in ins], aval, out in differ)
                if out == program.outputs[leaf]:
                    return known[out]
                if out in program.outputs:  # another array of the state is judged by itself, not in those that read it
                    known[out] = state[program.outputs.index(out)]
        return Known()  # it never changes

    def is_refined(leaf: int) -> bool:
        values = [low + rng.uniform(0, 0.1, start[leaf].shape) for low in (0.1, 0.4, 0.7)]
        ends = [end(leaf, value) for value in values]
        if ends[0].of.get(leaf, 2) == 2:
            return False
        c, same = ((ends[k].part - ends[0].part) / (values[k] - values[0]) for k in (1, 2))
        return bool(np.allclose(c, same, rtol=1e-5) and (c > 0).all() and (c < 1 + 1e-5).all())

    floating = [leaf for leaf, a in enumerate(start) if np.issubdtype(a.dtype, np.floating)]
    for _ in start:  # until it settles: what multiplies S may itself be a refined array
        refined, last = {leaf for leaf in floating if is_refined(leaf)} if refined != last else refined, refined
    ends = {leaf: end(leaf, start[leaf]) for leaf in floating}
    return refined, {leaf for leaf, x in ends.items() if x.alpha and not x.of.get(leaf, 0)}


def relative(old: Any, new: Any) -> Any:
    """|new - old| / |new|, 0 where nothing changed, infinite where the array diverged."""
    size, change = (jnp.linalg.norm(jnp.ravel(a).astype(float)) for a in (new, new - old))
    return jnp.where(size <= LARGEST, jnp.where(change == 0, 0, change / size), jnp.inf)


def slopes(rule: AbstractRule, key: PRNGKeyArray) -> dict[str, dict[str, list[float]]]:
    """The relative change per step of each matrix of the rule's state: "alpha", "median" and "max", nan where it diverged.

    A matrix's size grows at least as n^2. "max": of the largest changes in stretches of ALPHAS[0] (equally many at each alpha)
    the 0.999 quantile of a run, the median over runs. Deterministic for a key, and in 64 bits whatever the session's.
    """
    with jax.enable_x64(True):
        return _slopes(rule, int(jax.random.bits(key, dtype="uint32")))


def _slopes(rule: AbstractRule, seed: int) -> dict[str, dict[str, list[float]]]:
    key, rng = jax.random.key(seed, impl="unsafe_rbg"), np.random.default_rng(seed)  # a generator that compiles fast

    def network(n: int, alpha: float) -> LeakyRNN:
        return jax.eval_shape(lambda: LeakyRNN.create((n, N_IN, N_OUT), key, alpha=alpha, head="softmax"))

    small, large = (jax.tree.leaves_with_path(jax.eval_shape(rule.init, network(n, ALPHAS[0]), key)) for n in (100, 200))
    matrices = {
        leaf: jax.tree_util.keystr(path, simple=True, separator=".") or "state"
        for leaf, ((path, a), (_, b)) in enumerate(zip(small, large, strict=True))
        if b.size > 3 * a.size and jnp.issubdtype(a.dtype, np.number)
    }
    if not matrices:
        return {}

    inits, updates = [], []
    for net in [network(N, alpha) for alpha in ALPHAS]:
        step = jax.eval_shape(lambda: Step(*(jnp.zeros(k) for k in (N, N + N_IN + 1, N, N, N_OUT, N_OUT))))
        inits.append(Program.trace(rule.init, net, key))
        updates.append(Program.trace(lambda *a: rule.update(*a)[1], net, step, jax.eval_shape(rule.init, net, key), key))
    lifted, unlike = that_differ(updates)

    steps, keys = round((BURN_IN + DURATION) / min(ALPHAS)), jax.random.split(key, SEEDS)
    create = partial(LeakyRNN.create, (N, N_IN, N_OUT), alpha=1.0, head="softmax")  # of alpha 1: a step gives phi(v)
    nets = jax.vmap(lambda key: eqx.tree_at(lambda net: net.W, n := create(key), n.W.at[:, :N].multiply(RADIUS)))(keys)
    states = [jax.vmap(lambda net, key, p=p: p.run([*jax.tree.leaves(net), key], {}, {}))(nets, keys) for p in inits]
    start = [np.asarray(a[0]) for a in states[0]]
    refined, held_alpha = classify(updates[0], lifted | unlike, jax.tree.leaves((net, step)), start)
    refined |= leaks(rule)
    held = rng.uniform(size=(round(steps * max(ALPHAS) / HOLD) + 1, SEEDS, 2, 1))
    held = np.where([[True], [False]], held > 0.5, 0.2 + 0.6 * held)  # inputs 0 or 1, labels between 0.2 and 0.8
    held = np.concatenate([held, 1 - held], axis=3)

    @partial(jax.jit, static_argnums=0)
    def simulate(program: Program, lifted: dict[int, Any], alpha: Any, states: list, held: Any) -> Any:
        """The relative changes (steps, SEEDS, matrices)."""

        def refine(old: Any, new: Any) -> Any:
            return (old + alpha / ALPHAS[0] * (new - old)).astype(old.dtype)

        def advance(program: Program, lifted: dict, seen: tuple, state: list, key: PRNGKeyArray) -> list:
            written = {program.outputs[leaf]: partial(refine, state[leaf]) for leaf in refined}
            return program.run([*jax.tree.leaves(seen), *state, key], lifted, written)

        def one_step(net: LeakyRNN, carry: tuple, now: tuple) -> tuple:
            (r, state, shown), ((x, y), key) = carry, now
            r_hat, v, phi = net.step(r, x)
            r_new = r + alpha * (phi - r)
            seen = net, Step(r, r_hat, v, r_new, net.loss_and_error(net.readout(r_new), y)[1], y)
            new = advance(program, lifted, seen, state, key)
            first = advance(updates[0], {}, seen, shown, key) if held_alpha else new
            new_shown = [first[k] if k in held_alpha else a for k, a in enumerate(new)]
            return (r_new, new, new_shown), jnp.stack([relative(shown[k], new_shown[k]) for k in matrices])

        draws = jax.random.split(key, (steps, SEEDS))
        inputs, begin = ((held[:, :, 0], held[:, :, 1]), draws), (jnp.zeros((SEEDS, N)), states, states)
        return jax.lax.scan(lambda carry, now: jax.vmap(one_step)(nets, carry, now), begin, inputs)[1]

    curves = {name: {"alpha": list(ALPHAS), "median": [], "max": []} for name in matrices.values()}
    for k, alpha in enumerate(ALPHAS):
        numbers, interval = {i: updates[k].constants[i] for i in lifted}, (np.arange(steps) * alpha / HOLD).astype(int)
        changes = np.asarray(simulate(updates[k if unlike else 0], numbers, alpha, states[k], held[interval]))
        for d, curve in zip(changes.transpose(2, 0, 1), curves.values(), strict=True):
            d = d[: round((BURN_IN + DURATION) / alpha)]
            late = d[round(BURN_IN / alpha) :].reshape(-1, round(ALPHAS[0] / alpha), SEEDS)
            whole = np.isfinite(d).all()
            curve["median"].append(float(np.median(late)) if whole else np.nan)
            curve["max"].append(float(np.median(np.quantile(late.max(axis=1), 0.999, axis=0))) if whole else np.nan)
    return curves


def slope(curve: dict[str, list[float]], which: str) -> float:
    """The slope of log "median" or log "max" over log alpha: nan where the matrix diverged, infinite where it never changes."""
    d = np.array(curve[which])
    if np.isnan(d).any() or not d.any():
        return float("nan" if d.any() else "inf")
    return float(np.polyfit(np.log(curve["alpha"]), np.log(np.maximum(d, 1e-300)), 1)[0])
