"""Whether recredit computes what it should on this machine: an exact gradient, and losses that are known."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from recredit.contract import random_key
from recredit.network import Network
from recredit.rule import Step
from recredit.rules import RTRL
from recredit.tasks import Add
from recredit.training.loop import train

EXACT = 1e-10
"""The largest relative error of RTRL beside automatic differentiation, in 64 bits; some 1e-15 is usual."""
SAME = 1e-3
"""By how much, relative to what is known, a loss may differ: processors sum in other orders, and rounding grows with time."""
GOLDEN = Path(__file__).with_name("golden.json")
RUNS = [("add", "rtrl"), ("add", "uoro"), ("add", "dni"), ("mimic", "rflo")]


@dataclass(frozen=True)
class Check:
    """What a check has found."""

    what: str
    found: str
    passes: bool


def checks() -> Iterator[tuple[str, Check | None]]:
    """What is checked, with None before it is, and what came of it after."""
    what = "RTRL beside automatic differentiation, 64 bits"
    yield what, None
    error = rtrl_error()
    yield what, Check(what, f"relative error {error:.1e}, allowed {EXACT:g}", error <= EXACT)
    known = golden()
    for task, rule in RUNS:
        what = f"{rule} on {task}, a short run"
        yield what, None
        loss, wanted = short_loss(task, rule), known[task][rule]
        error = abs(loss / wanted - 1)
        yield what, Check(what, f"loss {loss:.5f}, known {wanted:.5f}, allowed {100 * SAME:g} % off", error <= SAME)


def rtrl_error(steps: int = 30) -> float:
    """How far RTRL's gradient of a stream's summed loss is from that of automatic differentiation, relative to its norm."""
    with jax.enable_x64(True):
        key, task = random_key(0), Add()
        net = Network(8).create(task.n_in, task.n_out, task.head, key)
        samples = task.chunk(task.init(net, key), jnp.array(0), steps)[1]

        def played(W: Float[Array, "P m"]) -> Step:
            now = eqx.tree_at(lambda net: net.W, net, W)

            def step(s: Any, sample: Any) -> tuple[Any, Step]:
                made = Step.of(now, s, sample.x, sample.target)
                return made.state, made

            return jax.lax.scan(step, now.rest(), samples)[1]

        def learn(state: Any, step: Step) -> tuple[Any, Any]:
            G, state = RTRL().update(net, step, state, key)
            return state, G

        exact = jax.jit(jax.grad(lambda W: cast(Array, played(W).loss).sum()))(net.W)
        found = jax.jit(lambda W: jax.lax.scan(learn, RTRL().init(net, key), played(W))[1].sum(0))(net.W)
        return float(jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact))


def short_loss(task: str, rule: str) -> float:
    """The mean loss of two seeds at the end of a short run, in 32 bits, at a rate at which what a rule does shows."""
    sizes: Mapping[str, Any] = {"n_in": 4, "n_out": 4} if task == "mimic" else {}
    settings: dict[str, Any] = {"network": {"n": 8}, "optimizer": 0.1, "seeds": 2, "steps": 400, "bin": 100}
    with jax.enable_x64(False), jax.default_matmul_precision("highest"):  # on a GPU products of 32 bits have fewer otherwise
        data = train(rule, {"name": task, **sizes}, **settings)
    return float(data.loss.isel(step=-1).mean())


def golden() -> dict[str, dict[str, float]]:
    """The losses that are known, by task and rule."""
    return json.loads(GOLDEN.read_text(encoding="utf-8"))
