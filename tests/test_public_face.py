"""The public face in Python: any kind of number, one sentence for what is wrong."""

import json
from fractions import Fraction
from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

from recredit import optimizers
from recredit.blocks.jacobian import LearnedJacobian
from recredit.errors import MOST_SEEDS, brief, check_count, check_range, check_seeds
from recredit.network import Network
from recredit.registry import resolve_network, resolve_observers, resolve_rule, resolve_task
from recredit.rules import DNI, RFLO, RULES
from recredit.runs.settings import Run
from recredit.tasks import Add
from recredit.training.loop import default_bin, train

resolve_optimizer = partial(optimizers.resolve_optimizer, n=4)
WHOLE = [7, np.int64(7), np.uint8(7), np.int32(7), np.array(7), jnp.array(7), Fraction(7), 7.0, np.float32(7)]
HALF = [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), jnp.float32(0.5), Fraction(1, 2), np.longdouble(0.5)]


@pytest.mark.parametrize("given", WHOLE, ids=brief)
def test_any_whole_number_counts_and_is_kept_as_pythons_own(given):
    assert (check_count("it", given), type(check_count("it", given))) == (7, int)
    assert check_seeds(given) == [0, 1, 2, 3, 4, 5, 6]
    network, rule, task = Network(n=given), RULES["f_bptt"](window=given), Add(t1=given)
    assert [type(each) for each in (network.n, rule.window, task.t1)] == [int, int, int]
    run = Run.create({"rule": {"name": "f_bptt", "window": given}, "task": "add", "steps": 400, "bin": given})
    assert json.loads(run.text())["rule"]["window"] == json.loads(run.text())["bin"] == 7


@pytest.mark.parametrize("given", HALF, ids=brief)
def test_any_real_number_is_kept_as_pythons_own(given):
    assert (check_range("it", given), type(check_range("it", given))) == (0.5, float)
    assert type(Network(alpha=given).alpha) is type(RULES["dni"](rate=given).rate) is float


SEEDS = [[3, 1], (3, 1), np.array([3, 1]), jnp.array([3, 1]), range(3, 0, -2), xr.DataArray([3, 1]), [np.int64(3), 1.0]]


@pytest.mark.parametrize("given", SEEDS, ids=brief)
def test_seeds_come_in_any_sequence_of_whole_numbers(given):
    assert check_seeds(given) == [3, 1]


MASKED = np.ma.masked_array([1, 2], [False, True])
BAD_SEEDS = {
    "a seed must be a whole number of at least 0, not masked.": MASKED,
    "the number of seeds must be a whole number of at least 1, not masked.": MASKED[1],
    "the number of seeds must be a whole number of at least 1, not inf.": Fraction(10**400),
    "a seed must be a whole number of at least 0, not -inf.": [-Fraction(10**400)],
    "the number of seeds must be a whole number of at least 1, not True.": True,
    "the number of seeds must be a whole number of at least 1, not 2.5.": 2.5,
    "the number of seeds must be a whole number of at least 1, not None.": None,
    "the number of seeds must be a whole number of at least 1, not 0.": [],
    "the number of seeds must be at most 100,000, not 1000000000.": 10**9,
    "the number of seeds must be at most 100,000, not 100001.": range(MOST_SEEDS + 1),
    "a seed must be a whole number of at least 0, not 0.5.": [0.5],
    "a seed must be a whole number of at least 0, not True.": [True],
    "a seed must be a whole number of at least 0, not -1.": np.array([0, -1]),
    "a seed must be at most 2,147,483,647, not 2147483648.": [2**31],
    "seeds must be different whole numbers of at least 0 and below 2^31, not [4, 4].": (4, 4),
    "seeds must be a count, or the seeds themselves in a list, not 'ab'.": "ab",
    "seeds must be a count, or the seeds themselves in a list, not {1: 2}.": {1: 2},
}


@pytest.mark.parametrize("sentence", BAD_SEEDS)
def test_other_seeds_are_refused_in_one_sentence(sentence):
    with pytest.raises(ValueError) as refused:
        check_seeds(BAD_SEEDS[sentence])
    assert str(refused.value) == sentence


@pytest.mark.parametrize("given", [MASKED[1], np.ma.masked_array(3, True), MASKED], ids=brief)
@pytest.mark.parametrize("what", ["steps", "bin", "streams", "seeds_at_once", "n", "learning_rate", "optimizer"])
def test_what_is_masked_is_no_number(given, what):
    ways = {
        "n": lambda: resolve_network({"n": given}),
        "learning_rate": lambda: resolve_optimizer({"learning_rate": given}),
        "optimizer": lambda: resolve_optimizer(given),
    }
    with pytest.raises((ValueError, TypeError), match=r"not masked|cannot be masked|not masked_array|cannot be masked_array"):
        ways.get(what, lambda: train("rflo", "add", **SMALL | {what: given}))()


@pytest.mark.parametrize(
    "given", [Fraction(10**400), Fraction(-(10**400)), Fraction(1, 10**400)], ids=["most", "least", "none"]
)
def test_a_fraction_that_no_float_holds_is_no_learning_rate_unless_it_is_0(given):
    if given < 1 and given > 0:
        assert check_range("it", given) == 0
        return
    with pytest.raises(ValueError, match=r"must lie in .*, not -?inf"):
        resolve_optimizer(given)


@pytest.mark.parametrize("given", [1e39, -1e39, 10**400, float("inf"), float("nan"), True, "0.1", None, [0.1], 1j], ids=brief)
def test_what_no_number_of_32_bits_holds_is_no_rate(given):
    with pytest.raises(
        ValueError, match=r"^the rate must (lie in \[-inf, inf\)|be a number that fits in 32 bits).*, not .*\.$"
    ):
        check_range("the rate", given)


@pytest.mark.parametrize(
    "given", ["x" * 10**6, 10**5000, np.zeros((300, 300)), {"a\nb": ["c"] * 1000}], ids=["text", "digits", "array", "table"]
)
def test_a_sentence_stays_one_line_and_short_whatever_is_given(given):
    with pytest.raises(ValueError) as refused:
        check_count("n", given)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 160


def test_a_short_run_has_a_hundred_bins_in_python_as_on_the_command_line():
    assert [default_bin(steps) for steps in (1, 99, 200, 50_000, 1_000_000, 10_000_000)] == [1, 1, 2, 500, 10_000, 10_000]
    assert Run.create({"rule": "rflo", "task": "add", "steps": 200}).bin == 2
    assert train(RFLO(), Add(1, 2, 1), network=Network(n=2), seeds=1, steps=200).step.values.tolist() == [*range(2, 201, 2)]


SMALL = {"network": {"n": 2}, "seeds": 1, "steps": 12, "bin": 12}
OWN = """
from recredit.rules.rflo import RFLO
class Mine(RFLO):
    pass
"""


def test_train_takes_names_tables_paths_numbers_and_objects_for_the_same(tmp_path):
    """Whatever the spelling, the run is the one of the objects."""
    (tmp_path / "own.py").write_text(OWN)
    sgd = {"network": Network(n=2), "optimizer": optax.sgd(0.5), "seeds": 1, "steps": 12, "bin": 12}
    expected = train(DNI(jacobian=LearnedJacobian()), Add(1, 2, 1), observers={"RFLO": RFLO()}, **sgd)
    dni, add = {"name": "dni", "jacobian": "learned"}, {"name": "add", "t1": 1, "t2": 2, "hold": 1}
    for optimizer in (0.5, np.float32(0.5), {"learning_rate": 0.5}, {"name": "sgd", "learning_rate": 0.5}):
        xr.testing.assert_identical(train(dni, add, optimizer=optimizer, observers=[RFLO()], **SMALL), expected)
    mine = f"{tmp_path / 'own.py'}:Mine"
    named = train(dni, add, optimizer=0.5, observers={"RFLO": mine}, **SMALL)
    xr.testing.assert_identical(named, expected)
    assert train("rflo", add, observers=["rtrl", mine], **SMALL).observer.values.tolist() == ["rtrl", mine]
    xr.testing.assert_identical(train("rflo", add, **SMALL), train(RFLO(), Add(1, 2, 1), optimizer=optax.sgd(1e-4), **SMALL))
    adam = train("rflo", add, optimizer={"name": "adam", "learning_rate": 1e-3}, **SMALL)
    xr.testing.assert_identical(adam, train("rflo", add, optimizer=optax.adam(1e-3), **SMALL))


BAD_PARTS = {
    'rule "rflow" is unknown; allowed: fixed_w,': (resolve_rule, "rflow"),
    'Did you mean "rflo"?': (resolve_rule, "rflow"),
    "the file own.py does not exist.": (resolve_rule, "own.py:Mine"),
    "not the class RFLO; write RFLO(...).": (resolve_rule, RFLO),
    "not the function DNIb; write DNIb(...).": (resolve_rule, RULES["dni_b"]),
    'the rule must be a name, a table such as {"name": "fixed_w"} or an object of the class AbstractRule, not 3.': (
        resolve_rule,
        3,
    ),
    "the rule needs a name, one of: fixed_w,": (resolve_rule, {}),
    'rule dni has no setting "jacobean"; its settings: rate,': (resolve_rule, {"name": "dni", "jacobean": 1}),
    "not the class Add; write Add(...).": (resolve_task, Add),
    'Did you mean "mimic"?': (resolve_task, "mimick"),
    "not RFLO().": (resolve_task, RFLO()),
    'network has no setting "N"; its settings: n, alpha, activation, units, W_rec, gain,': (resolve_network, {"N": 3}),
    "alpha must lie in (0, 1], not 2.": (resolve_network, {"alpha": 2}),
    "not 32.": (resolve_network, 32),
    "not the class Network; write Network(...).": (resolve_network, Network),
    "not the function adam; write adam(...).": (resolve_optimizer, optax.adam),
    "not True.": (resolve_optimizer, True),
    "the learning rate must lie in [0, inf), not -1": (resolve_optimizer, -1),
    "the learning rate must lie in [0, inf), not nan": (resolve_optimizer, float("nan")),
    'Did you mean "adam"?': (resolve_optimizer, "adm"),
    'observers must be a list of rules, or a table such as {"exact": "rtrl"}, not \'rtrl\'.': (resolve_observers, "rtrl"),
    "not RFLO()": (resolve_observers, RFLO()),
    "observers must have different names, not RFLO, RFLO;": (resolve_observers, [RFLO(), RFLO()]),
    "an observer's name must be a word, not 3.": (resolve_observers, {3: "rtrl"}),
    'rule "RFLO" is unknown; allowed: fixed_w, ': (resolve_rule, "RFLO"),
    'path/to/file.py:MyRule. Did you mean "kf_rtrl"?': (resolve_rule, "KF-RTRL"),
    'Did you mean "uoro"?': (resolve_rule, "UORO"),
    'Did you mean "n"?': (resolve_network, {"N": 3}),
    'network\'s activation "ReLU" is unknown; allowed: tanh, relu, sigmoid, identity, softplus. Did you mean "relu"?': (
        resolve_network,
        {"activation": "ReLU"},
    ),
    'Did you mean "learning_rate"?': (resolve_optimizer, {"lr": 0.1}),
    'Did you mean "name"?': (resolve_rule, {"nmae": "rflo"}),
    "rule f_bptt's window cannot be the word '5': it must be a number": (resolve_rule, {"name": "f_bptt", "window": "5"}),
    "bug cannot be the word 'true': it must be a number or true/false, without quotes.": (
        resolve_rule,
        {"name": "uoro", "published_alpha_bug": "true"},
    ),
    "optimizer sgd's learning_rate cannot be the word '0.1'": (resolve_optimizer, {"learning_rate": "0.1"}),
    "the optimizer must be a number (the learning rate of SGD), a name, a table": (resolve_optimizer, [0.1]),
    "optimizer noisy_sgd's key must be at most 2,147,483,647, not 1180591620717411303424.": (
        resolve_optimizer,
        {"name": "noisy_sgd", "key": 2**70},
    ),
}


@pytest.mark.parametrize("sentence", BAD_PARTS)
def test_what_is_no_part_of_a_run_is_refused_in_one_sentence(sentence):
    resolve, given = BAD_PARTS[sentence]
    with pytest.raises((ValueError, TypeError)) as refused:
        resolve(given)
    assert sentence in str(refused.value)


TOO_LARGE = [
    ({"network": {"n": 10**6}}, "lower network.n, streams or seeds_at_once."),
    ({"streams": 10**9}, "lower network.n, streams or seeds_at_once."),
    ({"steps": 2**31 - 1, "bin": 1, "seeds": 100_000}, "lower the number of seeds, or take longer bins."),
]


@pytest.mark.parametrize(("settings", "way_out"), TOO_LARGE)
def test_a_run_that_no_memory_holds_is_refused_before_anything_is_made(settings, way_out):
    with pytest.raises(ValueError, match=r"^this run needs [\d,]+ GB, but this machine has [\d,]+: ") as refused:
        train("rtrl", "add", **{"seeds": 1, "steps": 400, **settings})
    assert str(refused.value).endswith(way_out)
