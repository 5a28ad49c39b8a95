"""recredit as a contender: what `recredit.train` runs, for as many seeds together as it takes; and the machine's limits."""

import time
from functools import partial

import costs
import jax
import jax.numpy as jnp
import optax
from grad_rule import GradBPTT

from recredit.blocks.jacobian import ExactJacobian, ThroughWeights
from recredit.network import Network
from recredit.rule import AbstractRule
from recredit.rules import RULES
from recredit.tasks.add import Add
from recredit.training import lanes, sizes
from recredit.training.programs import program_of
from recredit.training.step import Trainer

OVERHEAD = 2e-7  # seconds a step of one seed that is not arithmetic, about
FEW = 100  # steps of the program whose memory is told


class Program:
    def __init__(self, name: str, rule: AbstractRule, label: str, n: int, seeds: int):
        trainer = Trainer((rule,), Add(), Network(n=n), optax.sgd(costs.RATE))
        groups = -(-seeds // sizes.fitting_seeds(trainer.size))
        self.seeds = -(-seeds // groups)
        whole = costs.block(n) if name == "rtrl_block" else 1
        self.steps = costs.steps(self.seeds * (OVERHEAD + costs.seconds(name, n)), whole)
        start, arrays = program_of(lanes.start, trainer, jnp.arange(self.seeds), 1)
        (self.learners, _), self.first = start(*arrays), 0
        segment, self.arrays = lanes.fast_segment(trainer, self.learners, 0, self.steps)
        begin = time.perf_counter()
        self.run = segment.lower(*self.arrays).compile()
        compile_s = time.perf_counter() - begin
        few, arrays = lanes.fast_segment(trainer, self.learners, 0, FEW)
        memory = few.lower(*arrays).compile().memory_analysis()
        peak = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
        learner = jax.eval_shape(trainer.start, 0)
        self.about = {
            "variant": label,
            "compile_s": compile_s,
            "state_bytes": size(learner.states),
            "learner_bytes": size(learner),
            "peak_bytes": peak + memory.temp_size_in_bytes,
        }

    def call(self) -> None:
        trainer, _, _, *rest = self.arrays
        self.learners, measured = jax.block_until_ready(self.run(trainer, self.learners, jnp.array(self.first), *rest))
        self.first += self.steps
        if not jnp.isfinite(measured.loss).all():
            raise FloatingPointError("the loss is not finite.")


def size(tree) -> int:
    """Bytes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def candidates(name: str, n: int, seeds: int):
    """The rule at its defaults, without building J where it can do without; of dense RTRL, both ways."""
    if name == "grad":
        rules = {"jax.grad": GradBPTT()}
    else:
        rules = {"": RULES[name]()}
        if isinstance(getattr(rules[""], "jacobian", None), ExactJacobian):
            through = {"through W_rec": RULES[name](jacobian=ThroughWeights())}
            rules = {"J built": rules[""]} | through if name == "rtrl" else through
    return [partial(Program, name, rule, label, n, seeds) for label, rule in rules.items()]


def gemm(size: int = 2048) -> float:
    """GFLOP/s of a float32 matrix product."""
    return 2e-9 * size**3 / fastest(jax.jit(jnp.matmul), *jnp.ones((2, size, size)))


def triad(size: int = 2**25) -> float:
    """GB/s of a = b + s c on arrays of 134 MB, 12 bytes an element, written over the old a."""
    add = jax.jit(lambda a, b, c: b + 0.5 * c, donate_argnums=0, keep_unused=True)
    a, b, c = (jnp.full(size, value) for value in (0.0, 1.0, 2.0))
    took = []
    for _ in range(8):
        begin = time.perf_counter()
        a = jax.block_until_ready(add(a, b, c))
        took.append(time.perf_counter() - begin)
    return 12e-9 * size / min(took)


def read(n: int) -> float:
    """GB/s at which an array of rtrl_block's M is read, the best of a vector-matrix product and a sum in a loop."""
    M = jnp.full((n, costs.floor(n) // 4 // n), 1e-3)
    times = max(2, 2**28 // M.nbytes)

    @jax.jit
    def product(M):
        return jax.lax.fori_loop(0, times, lambda _, q: (q @ M)[-n:], jnp.ones(n))

    @jax.jit
    def total(M):
        return jax.lax.fori_loop(0, times, lambda _, s: jnp.sum(M * s) * 1e-6, 1.0)

    return 1e-9 * times * M.nbytes / min(fastest(product, M), fastest(total, M))


def fastest(run, *args) -> float:
    """Seconds of the fastest of five calls, compiled before."""
    jax.block_until_ready(run(*args))
    took = []
    for _ in range(5):
        begin = time.perf_counter()
        jax.block_until_ready(run(*args))
        took.append(time.perf_counter() - begin)
    return min(took)


def device() -> list[str]:
    """The kind of device, and its name."""
    return [jax.default_backend(), jax.devices()[0].device_kind]


def forget() -> None:
    jax.clear_caches()


MEASURES = {"gemm": gemm, "triad": triad, "read": read, "device": device}
