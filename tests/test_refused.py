"""What training refuses before its first step, and the audit with it, in one sentence that names both shapes."""

import inspect
import re
from collections.abc import Callable
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recredit.audit import audit
from recredit.contract import check_rule
from recredit.network import Head, LeakyRNN, Network
from recredit.rule import AbstractRule, Clock
from recredit.rules import EBPTT, FBPTT, RFLO, RTRL
from recredit.runs.settings import Run
from recredit.tasks import AbstractTask, Add, Sample
from recredit.tasks.task import bernoulli_stream
from recredit.training.loop import train
from recredit.training.step import Trainer

audit = inspect.unwrap(audit)  # without the tests' own type checks, which would refuse first
PLACE = r"at line \d+ of test_refused.py"
WHERE = rf"{PLACE}\.$"


class Good(AbstractRule):
    """A sound rule, of which each rule below gets one thing wrong."""

    def init(self, net, key):
        return {"trace": jnp.zeros_like(net.W), "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        trace = 0.9 * state["trace"] + jnp.outer(net.gain(step.v), step.r_hat)
        G = (step.error @ net.W_out)[:, None] * trace
        return G, {"trace": trace, "clock": state["clock"].tick()}


class Bad(Good):
    """Good, with its gradient or its trace changed."""

    gradient: Callable = lambda G: G
    trace: Callable = lambda trace: trace

    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return self.gradient(G), state | {"trace": self.trace(state["trace"])}


class Alone(Good):
    def update(self, net, step, state, key):
        return super().update(net, step, state, key)[0]


class Grows(Good):
    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return G, state | {"extra": step.r}


class Fails(Good):
    def update(self, net, step, state, key):
        return step.r @ net.W_out, state


class InitFails(Good):
    def init(self, net, key):
        raise KeyError("no such spring")


class Unbounded(Good):
    def init(self, net, key):
        return super().init(net, key) | {"trace": jnp.full_like(net.W, jnp.nan)}


class Table(Good):
    scales: jax.Array = eqx.field(default_factory=lambda: jnp.ones(3))


class Hasty(Good):
    @property
    def delay(self):
        return -1


class Undecided(Good):
    @property
    def delay(self):
        raise RuntimeError("ask again later " * 100)


class Broken(Good):
    @property
    def period(self):
        return 2.5


SHAPES = {
    "a column": (lambda G: G[:, :1], r"float64 of shape \(<n>, 1\)"),
    "a row": (lambda G: G[0], r"float64 of shape \(<m>,\)"),
    "the transpose": (lambda G: G.T, r"float64 of shape \(<m>, <n>\)"),
    "a scalar": (lambda G: G.sum(), r"float64 of shape \(\)"),
    "a number": (lambda G: 0.0, r"float64 of shape \(\)"),
    "nothing": (lambda G: None, "None"),
    "a list": (lambda G: [G], "a list"),
    "complex": (lambda G: G * 1j, r"complex128 of shape \(<n>, <m>\)"),
    "integers": (lambda G: G.astype(int), r"int64 of shape \(<n>, <m>\)"),
    "truth values": (lambda G: G > 0, r"bool of shape \(<n>, <m>\)"),
    "fewer bits": (lambda G: G.astype("float32"), r"float32 of shape \(<n>, <m>\)"),
}
BEFORE = r"state\['trace'\] is float64 of shape \(<n>, <m>\) before and"
OTHERS = {
    "a smaller state": (Bad(trace=lambda trace: trace[:, 1:]), rf"{BEFORE} float64 of shape \(<n>, <m-1>\) after, {WHERE}"),
    "an integer state": (Bad(trace=lambda trace: trace.astype(int)), rf"{BEFORE} int64 of shape \(<n>, <m>\) after, {WHERE}"),
    "a state that grows": (Grows(), rf"the same structure as init does; state\['extra'\] is new, {WHERE}"),
    "no pair": (Alone(), f"Alone's update must return two things, a gradient and the next state, not .*, {WHERE}"),
    "an update that fails": (Fails(), rf"Fails's update fails {PLACE}: TypeError: .*\.$"),
    "an init that fails": (InitFails(), rf"InitFails's init fails {PLACE}: KeyError: 'no such spring'\.$"),
    "an array in a field": (Table(), r"Table's field scales is an array: a rule's arrays must live in its state\.$"),
    "a start that is not finite": (Unbounded(), r"Unbounded's init must give finite numbers, and those of state\['trace'\]"),
    "a gradient ahead of time": (Hasty(), r"Hasty's delay must be a whole number of at least 0, not -1\.$"),
    "a delay that fails": (Undecided(), rf"Undecided's delay fails {PLACE}: RuntimeError: ask again later .*\.\.\.$"),
    "a broken period": (Broken(), r"Broken's period must be a whole number of at least 1, not 2\.5\.$"),
}  # fmt: skip
GRADIENT = r"Bad's update must return a gradient of W's type and shape, float64 of shape \(<n>, <m>\), not"
RULES = {name: (Bad(gradient), f"{GRADIENT} {shown}, {WHERE}") for name, (gradient, shown) in SHAPES.items()} | OTHERS


def refused(function, pattern):
    """The one sentence with which a call is refused."""
    with pytest.raises(ValueError) as caught:
        function()
    message = str(caught.value)
    assert re.search(pattern, re.sub(r" \(traced at n = .*\)\.$", ".", message)), message  # the audit says which sizes it takes
    assert "\n" not in message
    assert len(message) < 400
    assert message.endswith((".", "?"))


SMALL = {"network": Network(n=6), "steps": 4, "seeds": 1, "bin": 4}


@pytest.mark.parametrize("name", RULES)
def test_training_and_the_audit_refuse_the_same_rules_in_the_same_sentence(name):
    rule, pattern = RULES[name]

    def sized(n, m):
        return pattern.replace("<n>", f"{n}").replace("<m>", f"{m}").replace("<m-1>", f"{m - 1}")

    refused(lambda: train(rule, Add(1, 1, 1), **SMALL), sized(6, 9))
    refused(lambda: train(RFLO(), Add(1, 1, 1), observers={"watching": rule}, **SMALL), sized(6, 9))
    refused(lambda: audit(rule, measure=False), sized(5, 8))


NO_RULES = {
    "the class Good; write Good(...).": Good,
    "the function update.": Good.update,
    'a name; write recredit.RULES["rflo"]().': "rflo",
    "None.": None,
}


@pytest.mark.parametrize("shown", NO_RULES)
def test_what_is_no_rule_is_refused(shown):
    for check in (check_rule, audit):
        with pytest.raises(TypeError) as no_rule:
            check(NO_RULES[shown], name="it")
        assert str(no_rule.value) == f"the rule must be an AbstractRule, not {shown}"


class Settings(Good):
    """Settings of one kind or another."""

    either: bool | float = 0.5
    number: Literal[1, 2.5] = 1
    maybe: Literal["a", "b"] | None = None
    units: Network | RFLO | None = None


@pytest.mark.parametrize("right", [{}, {"either": True}, {"number": 2.5}, {"maybe": "a"}, {"units": RFLO()}])
def test_a_setting_of_several_kinds_takes_each_of_them(right):
    Settings(**right)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"number": 2}, "Settings's number 2 is unknown; allowed: 1, 2.5."),
        ({"maybe": "c"}, 'Settings\'s maybe "c" is unknown; allowed: a, b.'),
        ({"maybe": 3}, "Settings's maybe 3 is unknown; allowed: a, b."),
    ],
)
def test_a_setting_that_is_none_of_its_kinds_is_refused(wrong, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        Settings(**wrong)


def test_the_sound_rule_and_task_are_not_refused():
    assert audit(Good(), measure=False).passes
    data = train(Good(), Steady(), observers={"watching": Good()}, **SMALL)
    np.testing.assert_allclose(data.cosine, 1, rtol=1e-12)


class Steady(AbstractTask):
    """A sound task, of which each task below gets one thing wrong."""

    n_in: int = 2
    n_out: int = 3
    head: str = eqx.field(default="softmax", static=True)
    inputs: Callable = lambda x: x
    labels: Callable = lambda y: y
    state: Callable = lambda state: state

    def init(self, net, key):
        return {"phase": jnp.zeros(())}

    def chunk(self, state, start, length):
        x = jnp.ones((length, 2)) * jnp.cos(start)
        return self.state(state), Sample(self.inputs(x), self.labels(jnp.ones((length, 3)) / 3))


class Silent(Steady):
    def chunk(self, state, start, length):
        return state, jnp.ones((length, 2))


class Torn(Steady):
    def chunk(self, state, start, length):
        raise RuntimeError("the tape is torn")


LABELS = r"the task Steady's labels of 1 steps must be float64 of shape \(1, 3\), not"
INPUTS = r"the task Steady's inputs of 1 steps must be float64 of shape \(1, 2\), not"
TASKS = {
    "labels in a column": (Steady(labels=lambda y: y[:, :1]), rf"{LABELS} float64 of shape \(1, 1\)\.$"),
    "labels in a row": (Steady(labels=lambda y: y[:, 0]), rf"{LABELS} float64 of shape \(1,\)\.$"),
    "labels for more outputs": (Steady(n_out=5), r"labels of 1 steps must be .* \(1, 5\), not float64 of shape \(1, 3\)\.$"),
    "labels that are numbers of a class": (Steady(labels=lambda y: y.argmax(1)), rf"{LABELS} int64 of shape \(1,\)\.$"),
    "labels of whole numbers": (Steady(labels=lambda y: y.round().astype(int)), rf"{LABELS} int64 of shape \(1, 3\)\.$"),
    "complex labels": (Steady(labels=lambda y: y * 1j), rf"{LABELS} complex128 of shape \(1, 3\)\.$"),
    "no labels": (Steady(labels=lambda y: None), rf"{LABELS} None\.$"),
    "inputs in a column": (Steady(inputs=lambda x: x[:, :1]), rf"{INPUTS} float64 of shape \(1, 1\)\.$"),
    "as many labels whatever the length": (
        Steady(labels=lambda y: y[:1]),
        r"labels of 4 steps must be float64 of shape \(4, 3\), not float64 of shape \(1, 3\)\.$",
    ),
    "another state": (
        Steady(state=lambda state: {"phase": jnp.zeros(2)}),
        r"chunk must keep .*; state\['phase'\] is float64 of shape \(\) before and float64 of shape \(2,\) after\.$",
    ),
    "a state that grows": (Steady(state=lambda state: state | {"new": 0}), r"structure as init does; state\['new'\] is new\.$"),
    "two things": (Silent(), "the task Silent's chunk must return the state and a Sample, not a tuple.$"),
    "a chunk that fails": (Torn(), rf"the task Torn's chunk fails {PLACE}: RuntimeError: the tape is torn\.$"),
    "half an input": (Steady(n_in=2.5), r"the task Steady's n_in must be a whole number of at least 1, not 2\.5\.$"),
    "no output": (Steady(n_out=0), r"the task Steady's n_out must be a whole number of at least 1, not 0\.$"),
    "an unknown head": (Steady(head="sofmax"), r'the task Steady\'s head "sofmax" is unknown; .* Did you mean "softmax"\?$'),
    "a softmax of one output": (Steady(n_out=1), r'loss 0 .*; take two outputs, with labels \(y, 1 - y\), or the head'),
    "labels below 0": (Steady(labels=lambda y: y - 1), r"labels below 0 between steps 0 and 4; a softmax head's are at"),
    "labels that are not finite": (Steady(labels=lambda y: y / 0), r"data that are not finite between steps 0 and 4\.$"),
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_a_task_that_breaks_its_contract_is_refused(name):
    task, pattern = TASKS[name]
    refused(lambda: train(RFLO(), task, **SMALL), pattern)


def test_labels_below_0_are_as_good_as_others_for_a_linear_head():
    assert np.isfinite(train(RFLO(), Steady(head="linear", labels=lambda y: y - 1), **SMALL).loss).all()


LATE = {"FBPTT": FBPTT(window=5), "EBPTT": EBPTT(window=5)}


@pytest.mark.parametrize("name", LATE)
def test_a_run_in_which_a_rule_never_gives_a_gradient_is_refused(name):
    rule = LATE[name]
    sentence = (
        rf"^{name} gives its first gradient at step 5, .* but the run has only 4 steps; take more steps or a shorter window\.$"
    )
    refused(lambda: train(rule, Add(1, 1, 1), **SMALL), sentence)
    refused(lambda: train(RFLO(), Add(1, 1, 1), observers={"late": rule}, **SMALL), sentence)
    Trainer((rule,), Add(1, 1, 1), SMALL["network"], optax.sgd(0.1), steps=5)


@pytest.mark.parametrize("name", ["f_bptt", "e_bptt"])
@pytest.mark.parametrize("place", ["rule", "observer"])
def test_such_a_run_is_refused_before_any_worker_starts(name, place):
    late = {"name": name, "window": 500}
    table = {"rule": late} if place == "rule" else {"rule": "rtrl", "observers": {"late": late}}
    refused(
        lambda: Run.create({**table, "task": "add", "steps": 400}), "first gradient at step 500, .* only 400 steps; take more"
    )
    Run.create({**table, "task": "add", "steps": 500})


@pytest.mark.parametrize("head", get_args(Head))
def test_the_error_is_the_gradient_of_the_loss_for_every_label_that_is_accepted(head):
    net, rng = LeakyRNN(jnp.zeros((2, 4)), jnp.zeros((3, 2)), jnp.zeros(3), 0.5, "tanh", head), np.random.default_rng(0)
    z = jnp.array(rng.normal(size=(500, 3)) * 10 ** rng.uniform(-3, 2, (500, 1)))
    labels = rng.exponential(size=(500, 3)) * 10 ** rng.uniform(-6, 3, (500, 1)) * (rng.random((500, 3)) < 0.7)
    labels[:3] = [[0, 0, 0], [1, 0, 0], [0.2, 0.3, 0.5]]
    labels = -labels if head == "linear" else labels
    assert net.has_loss(jnp.array(labels.min()))
    losses, errors = jax.vmap(net.loss_and_error)(z, jnp.array(labels))
    gradients = jax.vmap(jax.grad(lambda z, label: net.loss_and_error(z, label)[0]))(z, jnp.array(labels))
    size = 1 + np.abs(labels).max(1, keepdims=True)
    np.testing.assert_allclose(errors / size, gradients / size, rtol=0, atol=1e-12)
    if head == "softmax":
        masked = ~labels.any(1)
        assert masked.sum() > 5
        assert not losses[masked].any()
        assert not errors[masked].any()


class Masked(AbstractTask):
    """Was the input of two steps before 1? Asked at every third step, by labels that are all 0 at the others."""

    n_in: int = 1
    n_out: int = 2
    head: str = eqx.field(default="softmax", static=True)

    def init(self, net, key):
        return key

    def chunk(self, state, start, length):
        t = start + jnp.arange(length)
        x = bernoulli_stream(state, 0.5, start - 2, length + 2, 1)
        labels = jnp.concatenate([x[:-2], 1 - x[:-2]], axis=1)
        return state, Sample(x[2:], jnp.where(t[:, None] % 3 == 0, labels, 0))


def test_a_masked_task_is_learned():
    data = train(RTRL(), Masked(), network=Network(n=8), optimizer=optax.adam(1e-2), seeds=2, steps=3000, bin=1000)
    assert (3 * data.loss[:, -1] < 0.05).all()  # nats a report; ln 2 is chance
