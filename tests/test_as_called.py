"""What a run computes is what its rule, task and settings say when it is called: nothing remembered, rounded or traced."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recredit.network import Network
from recredit.rule import AbstractRule, Clock
from recredit.rules import EBPTT, FBPTT, RFLO
from recredit.tasks import AbstractTask, Sample
from recredit.training import loop, sizes
from recredit.training.loop import train
from recredit.training.programs import TracedFunction
from recredit.training.sizes import check_memory, chunk_lengths, passing_size
from recredit.training.step import Trainer

go = partial(train, network=Network(n=3), optimizer=optax.sgd(0.1), seeds=2, steps=8, bin=8)
GAIN, MASK = 1.0, np.ones(3)


def helper(G):
    return GAIN * G


class Plain(AbstractRule):
    """RFLO without memory, whose code below is changed between runs."""

    def init(self, net, key):
        return jnp.array(GAIN)

    def update(self, net, step, state, key):
        return helper(jnp.outer((step.error @ net.W_out) * net.gain(step.v), step.r_hat)), state


class Ones(AbstractTask):
    """Inputs and labels of 1, or what the code below makes of them."""

    n_in: int = 1
    n_out: int = 1
    head: str = eqx.field(default="linear", static=True)

    def init(self, net, key):
        return jnp.array(GAIN)

    def chunk(self, state, start, length):
        masked = jax.lax.scan(lambda carry, x: (carry, jax.jit(lambda x: x @ MASK)(x)), 0.0, jnp.ones((length, 3)))[1]
        return state, Sample(GAIN * masked[:, None] / 3, jnp.ones((length, 1)))


CHANGES = {
    "a function of the module": ("helper", lambda G: 2 * G),
    "a number of the module": ("GAIN", 0.5),
    "an array within the body of a loop": ("MASK", np.zeros(3)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_run_is_of_the_code_as_it_is_now(what, monkeypatch):
    name, value = CHANGES[what]
    before = go(Plain(), Ones())
    monkeypatch.setitem(globals(), name, value)
    changed = go(Plain(), Ones())
    monkeypatch.undo()
    assert not np.array_equal(changed.W, before.W)
    np.testing.assert_array_equal(go(Plain(), Ones()).W, before.W)
    if name != "helper":
        assert (changed.loss_at_start != before.loss_at_start).all()


def test_a_method_that_is_replaced_counts(monkeypatch):
    before = go(Plain(), Ones())
    monkeypatch.setattr(Plain, "update", lambda self, net, step, state, key: (jnp.zeros_like(net.W), state))
    assert (go(Plain(), Ones()).W != before.W).any()


def test_settings_around_a_draw_are_part_of_a_program():
    def draw(setting):
        with jax.threefry_partitionable(setting):
            return TracedFunction.of(lambda key: jax.random.normal(key, (3,)), jax.random.key(0)).program

    assert draw(True) == draw(True) != draw(False)


class Decay(Plain):
    """Reads its numbers as Python's floats, outside of a loop."""

    decay: float = 0.5

    def update(self, net, step, state, key):
        assert isinstance(self.decay, float)
        G = jnp.outer((step.error @ net.W_out) * net.gain(step.v), step.r_hat)
        return (1 - self.decay) * G, state


def test_numbers_computed_from_a_rules_floats_are_pythons(monkeypatch):
    near = 1 - 1e-8
    with jax.enable_x64(False):
        data = go(Decay(decay=0.0), Ones(), observers={"near": Decay(decay=near)})
        np.testing.assert_allclose(data.norm_ratio, 1 - near, rtol=1e-6)


class Late(Plain):
    """A step late and a gradient every fourth step, as a float and as what is computed from one."""

    rate: float = 0.25
    period: float = 4.0

    @property
    def delay(self):
        return int(1 / self.rate)

    def init(self, net, key):
        return jnp.array(0)

    def update(self, net, step, state, key):
        last = (state + 1) % 4 == 0
        return jnp.where(last, jnp.outer(step.error @ net.W_out, step.r_hat), 0), state + 1


def test_delay_and_period_may_come_from_floats():
    rule = Trainer((Late(),), Ones(), Network(n=3), optax.sgd(0.1)).rules[0]
    assert (rule.delay, rule.period) == (4, 4)
    assert type(rule.delay) is type(rule.period) is int
    assert go(Plain(), Ones(), observers=[Late()]).compared.values.tolist() == [[[1]], [[1]]]


class Uneven(Ones):
    """A task that breaks its contract for chunks of some lengths."""

    at: int = 3
    how: str = "raises"

    def chunk(self, state, start, length):
        state, (x, y, *_) = super().chunk(state, start, length)
        if length == self.at and self.how == "raises":
            raise RuntimeError("the tape is torn")
        if length == self.at:
            state, x = {"rows": (state, x[1:]), "type": (state, x.astype("float16")), "state": ((state, 1), x)}[self.how]
        return state, Sample(x, y)


BROKEN = {
    "raises": r"the task Uneven's chunk of 3 steps fails at line \d+ of test_as_called.py: RuntimeError: the tape is torn\.$",
    "rows": r"the task Uneven's inputs of 3 steps must be float64 of shape \(3, 1\), not float64 of shape \(2, 1\)\.$",
    "type": r"the task Uneven's inputs of 3 steps must be float64 of shape \(3, 1\), not float16 of shape \(3, 1\)\.$",
    "state": r"the task Uneven's chunk of 3 steps must return a state of the same structure as init does; .*\.$",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_task_is_checked_at_every_length_that_it_is_asked_for(how):
    with pytest.raises(ValueError, match=BROKEN[how]):
        go(Plain(), Uneven(at=3, how=how), steps=11)


def test_the_lengths_of_chunks_are_those_of_the_loop(monkeypatch):
    monkeypatch.setattr(sizes, "SEGMENT", 10)
    for steps, bin in [(8, 8), (11, 8), (5, 8), (45, 23), (40, 10), (40, 20), (2000, 2000)]:
        ends = [min(first + bin, steps) for first in range(0, steps, bin)]
        asked = {min(10, end - first) for begin, end in zip([0, *ends], ends) for first in range(begin, end, 10)}
        assert chunk_lengths(steps, bin, 10) == asked | {min(steps, 1000)}


@pytest.mark.parametrize("rule", [FBPTT(window=100), EBPTT(window=100)])
def test_a_rule_too_late_for_the_run_is_refused_before_it_is_traced(rule, monkeypatch):
    monkeypatch.setattr(type(rule), "update", lambda *_: pytest.fail("traced"))
    with pytest.raises(ValueError, match=r"gives its first gradient at step 100, .* only 8 steps"):
        go(rule, Ones())
    with pytest.raises(ValueError, match=r"gives its first gradient at step 100, .* only 8 steps"):
        go(RFLO(), Ones(), observers=[rule])


def test_the_gradients_and_the_data_of_all_streams_count_as_memory(monkeypatch):
    one, many = (Trainer((Plain(), RFLO()), Streamed(), Network(n=3), optax.sgd(0.1), streams) for streams in (1, 1000))
    assert passing_size(one, 8) == 8 * (2 * 3 * 5 + 8 * 2)
    assert passing_size(many, 8) == 1000 * passing_size(one, 8)
    asked = []
    monkeypatch.setattr(loop, "check_memory", lambda learners, bins: (asked.append(learners), check_memory(10**18, bins)))
    with pytest.raises(
        ValueError, match=r"this run needs .* GB, but this machine has .*: lower network.n, streams or seeds_at"
    ):
        go(Plain(), Streamed(), observers=[RFLO()], streams=1000)
    assert asked == [2 * (passing_size(many, 8) + many.size)]


class Streamed(Ones):
    def stream(self, state, number, count):
        return state


class OfSeed(Plain):
    """A Clock that begins where the key says."""

    def init(self, net, key):
        return Clock(jax.random.randint(key, (), 0, 5))


class OfError(OfSeed):
    """A Clock that begins anew as the error says."""

    def init(self, net, key):
        return Clock.at_zero()

    def update(self, net, step, state, key):
        return jnp.zeros_like(net.W), Clock(jnp.where(step.error[0] > 0, 0, state.steps + 1))


class CalledBack(Plain):
    """A function of Python's that cannot be vectorised."""

    def update(self, net, step, state, key):
        return jax.pure_callback(lambda W: W, jax.ShapeDtypeStruct(net.W.shape, net.W.dtype), net.W), state


CLOCK = (
    "gives a Clock that differs between seeds or streams; it must start as .* so keep any other count in an array of the state"
)
ALONE = {
    OfSeed: rf"OfSeed's init {CLOCK}\.$",
    OfError: rf"OfError's update {CLOCK}\.$",
    CalledBack: r"CalledBack's update, vectorised over seeds and streams as training does it, fails: NotImplementedError: ",
}


@pytest.mark.parametrize("rule", ALONE)
@pytest.mark.parametrize("streams", [1, 2])
def test_a_rule_that_cannot_be_vectorised_is_refused(rule, streams):
    with pytest.raises(ValueError, match=ALONE[rule]) as refused:
        go(rule(), Streamed(), streams=streams, seeds=1)
    assert "\n" not in str(refused.value)


class Says(Ones):
    """A task with a length, or a check, of its own."""

    most: object = None
    wrong: type = ValueError

    def length(self, streams=1):
        if self.most == "fails":
            raise KeyError("tape")
        return self.most

    def check(self, steps, streams=1):
        if steps == 7:
            raise self.wrong("seven")


LENGTHS = {
    "many": r"the task Says's length must be a whole number of at least 0, not 'many'\.$",
    2.5: r"the task Says's length must be a whole number of at least 0, not 2\.5\.$",
    -5: r"the task Says's length must be a whole number of at least 0, not -5\.$",
    0: r"the task Says has a length of 0 steps for 1 streams, fewer than the 1 asked for\.$",
    "fails": r"the task Says's length fails at line \d+ of test_as_called.py: KeyError: 'tape'\.$",
}


@pytest.mark.parametrize("most", LENGTHS)
def test_what_a_task_says_of_its_length_is_checked(most):
    with pytest.raises(ValueError, match=LENGTHS[most]):
        go(Plain(), Says(most=most), steps=None)
    with pytest.raises(ValueError, match="the task Says"):
        go(Plain(), Says(most=most))


def test_a_tasks_own_check_is_heard_and_named_where_it_fails():
    with pytest.raises(ValueError, match=r"^seven$"):
        go(Plain(), Says(), steps=7)
    with pytest.raises(ValueError, match=r"the task Says's check fails at line \d+ of test_as_called.py: KeyError: 'seven'\.$"):
        go(Plain(), Says(wrong=KeyError), steps=7)
    assert go(Plain(), Says(most=8.0), steps=None).step[-1] == 8


WITHIN = {
    "jit": lambda: jax.jit(lambda x: x + go(Plain(), Ones()).loss.values.sum())(1.0),
    "a traced rate": lambda: jax.vmap(lambda rate: go(Plain(), Ones(), optimizer=rate).loss.values.sum())(X),
    "a traced optimiser": lambda: jax.grad(lambda rate: go(Plain(), Ones(), optimizer=optax.sgd(rate)).loss.sum())(0.1),
    "a traced gain": lambda: jax.vmap(traced_gain)(X),
}
X = jnp.array([0.1, 0.2])


def traced_gain(gain):
    return go(type("Traced", (Plain,), {"init": lambda self, net, key: jnp.array(gain)})(), Ones()).loss.values.sum()


@pytest.mark.parametrize("how", WITHIN)
def test_training_within_a_transformation_is_refused(how):
    with pytest.raises(TypeError, match=r"^train cannot be called within jax\.jit, nor with values that .* and arrays\."):
        WITHIN[how]()


def test_a_guard_of_transfers_does_not_stop_a_run():
    usual = go(Plain(), Ones())
    with jax.transfer_guard("disallow_explicit"):
        guarded = go(Plain(), Ones())
    np.testing.assert_array_equal(guarded.W, usual.W)
