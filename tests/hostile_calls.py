"""Calls of the public face in Python, random ones and each setting by itself: each works, or is refused in one sentence.

Run by tests/test_hostile_calls.py as a process of its own, without the checks of types that the tests add: as users have it.
"""

import inspect
import sys
import time
import traceback
import warnings
from collections.abc import Hashable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import recredit
from recredit import FEEDBACKS, JACOBIANS, RULES, TASKS, LeakyRNN, Network, Trainer, audit, train
from recredit.network import UNITS
from recredit.tasks import Characters, Recorded

HOME = str(Path(recredit.__file__).parent)


class Unspeakable:
    def __repr__(self):
        raise RuntimeError("no repr")


# Nothing that is right and large: whatever is taken for a number is small, or absurd.
NO_NUMBERS = [None, True, np.bool_(False), "abc", "", "3", "a\nb {x}", "x" * 5000, b"rflo", object(), Unspeakable(), int, print]
NO_NUMBERS += [lambda: 3, [], [1], (), {}, {"a": 1}, {"name": 3}, {3: 4}, {"name": "abc"}, range(2), iter([1]), ..., 1j, 2 + 0j]
NO_NUMBERS += [
    np.zeros((2, 2)),
    np.array([]),
    np.array("x"),
    np.datetime64("2020"),
    np.array(None),
    jnp.zeros(2),
    RULES["rflo"],
]
NO_NUMBERS += [RULES, TASKS["add"], optax.adam, RULES["uoro"](), TASKS["add"](), Network(n=2), Decimal("0.5"), sys]
NUMBERS = [2.5, -1, 0, float("nan"), float("inf"), -float("inf"), 1e39, -1e39, 1e-60, 2**31, 10**30, 10**400, 10**5000, np.nan]
NUMBERS += [np.int64(-3), np.float32("inf"), Fraction(1, 3), np.array(2.5), jnp.array(-1), np.longdouble(3), np.uint8(2), 3.0]
WRONG = st.sampled_from(NO_NUMBERS + NUMBERS) | st.text(max_size=5) | st.floats() | st.integers(-3, 3)

NESTED = WRONG | st.one_of(
    WRONG.map(lambda wrong: {"name": wrong}),
    WRONG.map(lambda wrong: {"name": "dni", "jacobian": wrong, "rate": 0.1}),
    WRONG.map(lambda wrong: {"name": "add", "t1": wrong}),
    WRONG.map(lambda wrong: {"n": wrong}),
    WRONG.map(lambda wrong: {"learning_rate": wrong}),
    WRONG.map(lambda wrong: {"name": "adam", "b1": wrong}),
    WRONG.map(lambda wrong: {"clip": wrong, "schedule": {"name": "cosine_decay_schedule", "decay_steps": 5, "alpha": wrong}}),
    WRONG.map(lambda wrong: {"clip": {"name": "clip", "max_delta": wrong}, "W_in": wrong}),
    WRONG.map(lambda wrong: wrong if isinstance(wrong, Hashable) else None).map(
        lambda wrong: {"schedule": {"name": "piecewise_constant_schedule", "boundaries_and_scales": {wrong: wrong}}}
    ),
    WRONG.map(lambda wrong: [wrong]),
    WRONG.map(lambda wrong: [1, wrong]),
)

COUNT = [1, 2, np.int64(2), 3.0, np.array(2)]
RATE = [0.1, 1, np.float32(0.1), Fraction(1, 10), 0]
FLAG = [True, False]
BLOCKS = {
    "jacobian": [make() for make in JACOBIANS.values()],
    "feedback": [make() for make in FEEDBACKS.values()],
    "published_alpha_bug": FLAG,
}
SETTINGS = BLOCKS | {
    "window": COUNT,
    "refresh": COUNT,
    "block": [None, *COUNT],
    "rate": RATE,
    "sigma": [0.1, np.float32(0.1)],
    "inverse_timescale": RATE,
    "squash": FLAG,
}
NAMED = {
    "rule": ["rflo", "uoro", {"name": "dni", "jacobian": "learned"}, {"name": "f_bptt", "window": 2}, RULES["rtrl"]()],
    "task": ["add", {"name": "add", "t1": 1, "t2": 2, "hold": 1}, {"name": "mimic", "n_in": 2, "n_out": 2}],
}
TRAIN = NAMED | {
    "network": [{"n": 2}, Network(n=2, alpha=0.3), {"n": np.int64(2), "activation": "relu"}],
    "optimizer": [None, 0.1, np.float32(0.1), "sgd", {"name": "adam", "learning_rate": 1e-3}, optax.sgd(0.1)],
    "seeds": [1, 2, [3], np.array([1, 4]), range(2)],
    "steps": [12, np.int64(12), 12.0],
    "bin": [None, 12, 5],
    "streams": [1, 1, 2],
    "seeds_at_once": [None, 1, 2],
    "observers": [None, ["rtrl"], {"it": "rflo"}, []],
    "progress": [None, lambda done: None],
}
TABLE = [np.ones((12, 2)), np.ones((12, 2), int), [[1, 2]] * 12, jnp.ones((12, 2))]
CALLS = {f"RULES[{name!r}]": (make, SETTINGS) for name, make in RULES.items()} | {
    "train": (train, TRAIN),
    "train again": (train, TRAIN),
    "train once more": (train, TRAIN),
    "audit": (audit, {"rule": [RULES["rflo"]()], "name": [None, "it"], "measure": [False]}),
    "Network": (Network, {"n": COUNT, "alpha": [0.5, 1, np.float32(0.5)], "activation": ["tanh", "relu"]}),
    "LeakyRNN.create": (
        LeakyRNN.create,
        {"sizes": [(2, 1, 2), [2, 2, 3]], "key": [jax.random.key(0), jax.random.PRNGKey(0)], "alpha": [0.5, 1]}
        | {"activation": ["tanh", "sigmoid"], "head": ["softmax", "linear"]},
    ),
    "LeakyRNN": (
        LeakyRNN,
        {"W": [jnp.ones((2, 4)), np.ones((2, 4))], "W_out": [jnp.ones((2, 2))], "b_out": [jnp.ones(2)], "alpha": [0.5]}
        | {"activation": ["tanh"], "head": ["linear"]},
    ),
    "Trainer": (
        Trainer,
        {"rules": [(RULES["rflo"](),)], "task": [TASKS["add"]()], "network": [Network(n=2)], "optimizer": [optax.sgd(0.1)]}
        | {"streams": COUNT},
    ),
    "Add": (TASKS["add"], {"t1": COUNT, "t2": COUNT, "hold": COUNT, "labels": ["deterministic", "sampled"]}),
    "Mimic": (TASKS["mimic"], {"n_in": COUNT, "n_out": COUNT, "n_target": [None, *COUNT], "p": RATE, "hold": COUNT}),
    "Copy": (TASKS["copy"], {"symbols": COUNT, "items": COUNT, "hold": COUNT, "shortest_delay": COUNT, "longest_delay": COUNT}),
    "Romo": (TASKS["romo"], {"noise": RATE, "stimulus": RATE, "shortest_delay": RATE, "longest_delay": RATE, "dt": RATE}),
    "FlipFlop": (TASKS["flip_flop"], {"bits": COUNT, "p": RATE}),
    "Sine": (TASKS["sine"], {"lowest": RATE, "highest": RATE, "values": COUNT, "duration": RATE, "dt": RATE}),
    "MackeyGlass": (TASKS["mackey_glass"], {"horizon": COUNT, "tau": COUNT}),
    "Digits": (TASKS["digits"], {"part": ["train", "test", "all"], "passes": COUNT, "shuffle": FLAG}),
    "Characters": (Characters, {"text": ["abc", "a" * 9 + "b"], "passes": COUNT, "part": ["all", "test"], "test": [0.5]}),
    "Recorded": (Recorded, {"inputs": TABLE, "targets": TABLE, "head": ["linear"]}),
    "Recorded trials": (
        Recorded,
        {"inputs": [range(6)], "targets": [range(6)], "start": [[1, 0, 0, 1, 0, 0], [1, 1, 2, 2, 3, 3]], "weight": [range(6)]}
        | {"passes": COUNT, "shuffle": FLAG, "part": ["all", "train"], "test": [0.5], "split_seed": [0, np.int64(2)]},
    ),
    "LearnedJacobian": (
        JACOBIANS["learned"],
        {"rate": RATE, "init_from": ["W_rec", "leaky", "zero"], "regressors": ["r", "r1", "r_hat"]},
    ),
}


@st.composite
def calls(draw):
    """A public function, and arguments for it: most of them right, some wrong."""
    what = draw(st.sampled_from(sorted(CALLS)))
    function, known = CALLS[what]
    if what.startswith("RULES"):
        code = getattr(function, "__code__", None) or function.__init__.__code__
        known = {name: known[name] for name in code.co_varnames[: code.co_argcount] if name in known}
    wrong = draw(st.sets(st.sampled_from(sorted(known)), max_size=2)) if known else set()
    arguments = {name: draw(NESTED if name in wrong else st.sampled_from(right)) for name, right in known.items()}
    assume(arguments.get("steps", 1) is not None)  # right, and a million steps
    return what, arguments


def check(function, arguments):
    began, error = time.process_time(), None
    try:
        function(**arguments)
    except (ValueError, TypeError) as refused:
        error = refused
    if error is not None:
        sentence, last = str(error), traceback.extract_tb(error.__traceback__)[-1]
        assert type(error) in (ValueError, TypeError), type(error)
        assert "\n" not in sentence, sentence
        assert len(sentence) < 400, sentence
        assert sentence.endswith((".", "?")), sentence
        assert last.filename.startswith(HOME), f"not ours, but of {last.filename}, line {last.lineno}: {sentence}"
    assert time.process_time() - began < 10


def each_setting() -> None:
    """Give each setting of all that has a name, one at a time, whatever may be wrong."""
    for kind in (RULES, TASKS, UNITS, FEEDBACKS, JACOBIANS, {"network": Network}):
        for make in kind.values():
            taken = inspect.signature(make).parameters
            needed = {key: __file__ for key in taken if key == "file"}  # a recording must lie in one
            for setting in taken:
                for wrong in NO_NUMBERS + NUMBERS:
                    check(make, needed | {setting: wrong})


def sweep(examples: int) -> None:
    """Make so many calls, always the same."""
    plan = settings(max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=[*HealthCheck])
    plan(given(calls())(lambda call: check(CALLS[call[0]][0], call[1])))()


if __name__ == "__main__":
    warnings.simplefilter("error", RuntimeWarning)
    if sys.argv[1] == "each setting":
        each_setting()
    else:
        sweep(int(sys.argv[1]))
