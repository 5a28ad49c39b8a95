"""What a step of each rule costs on paper, beside what is measured: the formulas of the rules' docstrings, with constants.

n units, m = n + 3 (Add's two inputs and the bias), 2 outputs, windows of 10 steps, blocks of max(16, n // 4).
"""

import math
from collections.abc import Callable

N_IN, N_OUT, WINDOW, RATE = 2, 2, 10, 1e-4

STATE: dict[str, Callable[[int, int], int]] = {
    "fixed_w": lambda n, m: 0,
    "e_bptt": lambda n, m: WINDOW * (2 * n + m),
    "f_bptt": lambda n, m: WINDOW * (2 * n + m),
    "p_bptt": lambda n, m: WINDOW * (n + m),
    "rtrl": lambda n, m: n * n * m,
    "rtrl_block": lambda n, m: n * n * m + block(n) * (n * n + n + m),
    "uoro": lambda n, m: n + n * m,
    "kf_rtrl": lambda n, m: m + n * n,
    "r_kf": lambda n, m: n + n * m,
    "kernl": lambda n, m: n * n + n * m + 4 * n,
    "rflo": lambda n, m: n * m,
    "dni": lambda n, m: 2 * n * (n + N_OUT + 1) + 2 * n + N_OUT,
    "dni_b": lambda n, m: 2 * n * (n + N_OUT + 1) + 2 * n + N_OUT + n * n,
}
"""Numbers in the learning state of one seed, its clock apart."""

OPERATIONS: dict[str, Callable[[int, int], float]] = {
    "fixed_w": lambda n, m: 0,
    "e_bptt": lambda n, m: 2 * n * n + 2 * n * m,
    "f_bptt": lambda n, m: 2 * (WINDOW - 1) * n * n + n * m,
    "p_bptt": lambda n, m: 2 * (WINDOW - 1) * n * n + 2 * WINDOW * n * m,
    "rtrl": lambda n, m: 2 * n**3 * m + 2 * n * n * m,
    "rtrl_block": lambda n, m: 2 * n * n * m * (2 + n / block(n)) + 2 * n**3 + (block(n) + 1) * n * n + 2 * block(n) * n * m,
    "uoro": lambda n, m: 2 * n * n + 9 * n * m,
    "kf_rtrl": lambda n, m: 2 * n**3 + 6 * n * n + n * m,
    "r_kf": lambda n, m: 2 * n * n * m + 11 * n * m,
    "kernl": lambda n, m: 8 * n * n + 6 * n * m,
    "rflo": lambda n, m: 4 * n * m,
    "dni": lambda n, m: 2 * n * n + 8 * n * (n + N_OUT + 1) + n * m,
    "dni_b": lambda n, m: 6 * n * n + 8 * n * (n + N_OUT + 1) + n * m,
}
"""Additions and multiplications of the rule, down to terms of order nm; of rtrl_block and the windowed rules, a step's mean."""

TIME_EXPONENT = dict.fromkeys(STATE, 2) | {"rtrl": 4, "rtrl_block": 3, "kf_rtrl": 3, "r_kf": 3}
STATE_EXPONENT = dict.fromkeys(STATE, 2) | {"rtrl": 3, "rtrl_block": 3, "e_bptt": 1, "f_bptt": 1, "p_bptt": 1, "fixed_w": 0}


def block(n: int) -> int:
    """rtrl_block's default block."""
    return max(16, n // 4)


def operations(rule: str, n: int) -> float:
    """Additions and multiplications of one step: the network's, the rule's, and the update of W."""
    m = n + N_IN + 1
    return 2 * n * m + 6 * n * N_OUT + OPERATIONS[rule](n, m) + (2 * n * m if rule != "fixed_w" else 0)


def traffic(rule: str, n: int) -> float:
    """The fewest bytes one step can read and write in float32 if nothing stays in a cache.

    Each array of weights and state is read once and written once. Of rtrl_block, M is read at every step and read and written
    once more a block, and half of the J kept are read.
    """
    m = n + N_IN + 1
    weights = 8 * n * m if rule != "fixed_w" else 4 * n * m
    if rule == "rtrl_block":
        return weights + 4 * n * n * m * (1 + 2 / block(n)) + 4 * n * n * (block(n) + 1) / 2 + 4 * n * n
    return weights + 8 * STATE[rule](n, m)


def seconds(rule: str, n: int) -> float:
    """About how long a step's arithmetic takes: matrix products are fast."""
    rule = "p_bptt" if rule == "grad" else rule
    return operations(rule, n) / (1e11 if TIME_EXPONENT[rule] > 2 else 2e10)


def steps(seconds_a_step: float, multiple: int = 1) -> int:
    """How many steps to compile into one loop: about 0.1 s of work, 2 to 10,000 steps, and whole blocks.

    Many steps are a multiple of 100, so that recredit can draw the random numbers of ten at once.
    """
    many, hundreds = min(max(0.1 / seconds_a_step, 2), 10_000), math.lcm(multiple, 100)
    unit = hundreds if many > hundreds else multiple
    return max(round(many / unit), 1) * unit


def floor(n: int) -> int:
    """The bytes of rtrl_block's M, which it reads at every step."""
    return 4 * n * n * (n + N_IN + 1)
