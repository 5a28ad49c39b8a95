"""The NumPy baseline as a contender: one seed, on a stream that is there already."""

import time
from functools import partial

import costs
import numpy as np
import numpy_rules

OVERHEAD = 2e-5  # seconds a step that Python takes, about


class Program:
    def __init__(self, rule: str, n: int):
        rng = np.random.default_rng(0)
        self.seeds, self.steps, self.about = 1, costs.steps(OVERHEAD + costs.seconds(rule, n)), {}
        self.net = numpy_rules.create(n, costs.N_IN, costs.N_OUT, rng, "softmax")
        self.rule, self.r = numpy_rules.RULES[rule](self.net, rng), np.tanh(rng.standard_normal(n))
        coins = np.repeat(rng.integers(2, size=self.steps), 2)[: self.steps]
        label = 0.5 + 0.5 * np.roll(coins, 6) - 0.25 * np.roll(coins, 10)  # Add's
        self.inputs, self.targets = np.stack([coins, 1 - coins], axis=1), np.stack([label, 1 - label], axis=1)

    def call(self) -> None:
        losses = numpy_rules.train(self.rule, self.net, self.r, self.inputs, self.targets, costs.RATE)
        if not np.isfinite(losses).all():
            raise FloatingPointError("the loss is not finite.")


def candidates(rule: str, n: int, seeds: int):
    return [partial(Program, rule, n)]


def gemm(size: int = 2048) -> float:
    """GFLOP/s of a float32 matrix product."""
    A, took = np.ones((size, size), np.float32), []
    for _ in range(5):
        begin = time.perf_counter()
        A @ A
        took.append(time.perf_counter() - begin)
    return 2e-9 * size**3 / min(took)


def forget() -> None:
    pass


MEASURES = {"gemm": gemm}
