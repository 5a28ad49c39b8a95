"""Parallel streams against the same streams made one by one, by hand."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from each import EACH_RULE, TRAINED
from oracles import noise_for

from recredit.blocks.feedback import RandomFeedback
from recredit.jaxprs import programs_of
from recredit.network import Network
from recredit.rule import Clock, Step
from recredit.rules import DNI, EBPTT, RFLO, RTRL, RULES, UORO
from recredit.runs.files import writable_folder
from recredit.runs.identity import Cell
from recredit.runs.plan import Job
from recredit.runs.settings import Run
from recredit.runs.store import read_cells
from recredit.runs.work import work
from recredit.tasks import AbstractTask, Add, Mimic, Recorded, Sample
from recredit.training import lanes
from recredit.training.learner import noise
from recredit.training.loop import train
from recredit.training.step import Learner, Trainer, rule_key, weights

TASK, NETWORK, FROZEN, ADAM = Add(1, 2, 1), Network(n=4), optax.sgd(0.0), optax.adam(0.05)
STEP = eqx.filter_jit(Trainer.step)
NETWORKS = {name: Network(n=4, noise=noise_for(make())) for name, make in RULES.items()}
ROUNDING = dict.fromkeys(RULES, 1e-12) | {"ok_rtrl": 1e-8}  # the last bits of small singular values, whose roots it takes
STEPS = 20  # past a whole block of rtrl_block, and two windows of e_bptt
TASKS = {"add": TASK, "sampled": Add(1, 2, 2, "sampled"), "mimic": Mimic(3, 2, n_target=5)}


def stepped(trainer, learner, inputs, targets, first=0):
    """The learner after the given steps, and each step's loss and gradients."""
    told = []
    for t, (x, target) in enumerate(zip(inputs, targets, strict=True)):
        learner, loss, grads = STEP(trainer, learner, jnp.array(first + t), x, target)
        told.append((loss, *grads))
    return learner, [np.stack(each) for each in zip(*told, strict=True)]


def data(trainer, learner, steps=STEPS):
    return trainer.chunk(learner.stream, jnp.array(0), steps)[1][:2]


def one_of(learner, stream):
    """The learner that has one of the streams only."""
    states = jax.tree.map(
        lambda leaf: leaf if isinstance(leaf, Clock) else leaf[stream],
        learner.states,
        is_leaf=lambda leaf: isinstance(leaf, Clock),
    )
    kept = jax.tree.map(lambda leaf: leaf[stream], learner.stream)
    return Learner(learner.net, learner.s[stream], learner.optimizer, states, kept, learner.key[stream], learner.waiting)


def parts(arrays):
    return [{"W": arrays["W"]}, {name: arrays[name] for name in ("W_out", "b_out")}]


@eqx.filter_jit
def advance(rules, net, r_prev, state, t, key, x, target):
    """One stream's next rates, its loss, the gradients of W_out and b_out, and each rule's gradient and next state."""
    xi = noise(net, key, t - 1)
    r_hat, v, r = net.step(r_prev, x, xi)
    z = net.W_out @ r + net.b_out
    error = (jax.nn.softmax(z) if net.head == "softmax" else z) - target
    loss = -target @ jax.nn.log_softmax(z) if net.head == "softmax" else 0.5 * error @ error
    step = Step(r_prev, r_hat, v, r, error, target, loss=loss, xi=xi, weight=jnp.ones(()))
    told = [rule.update(net, step, state[i], rule_key(key, i, t)) for i, rule in enumerate(rules)]
    return r, loss, {"W_out": error[:, None] * r, "b_out": error}, [G for G, _ in told], [new for _, new in told]


@jax.jit
def learn(weights, memory, gradient):
    updates, memory = ADAM.update(gradient, memory, weights)
    return optax.apply_updates(weights, updates), memory


def by_hand(trainer, learner, inputs, targets):
    """The final weights, and each step's loss and gradients, with a plain loop over streams and Adam for W and the rest."""
    net, keys, memory = learner.net, learner.key, [ADAM.init(part) for part in parts(weights(learner.net))]
    alone = [one_of(learner, s) for s in range(trainer.streams)]
    rates, states = [each.s for each in alone], [list(each.states) for each in alone]
    losses, grads = [], []
    for t in range(len(inputs)):
        told = []
        for s in range(trainer.streams):
            now = net, rates[s], states[s], jnp.array(t + 1), keys[s], inputs[t, s], targets[t, s]
            rates[s], *heard, states[s] = advance(trainer.rules, *now)
            told.append(heard)
        loss, readout, each = jax.tree.map(lambda *arrays: sum(arrays) / len(arrays), *told)
        now = parts(weights(net))
        for i, gradient in enumerate(parts({"W": each[0], **readout})):
            if i or (t + 1) % trainer.rules[0].period == 0:
                now[i], memory[i] = learn(now[i], memory[i], gradient)
        net = net.with_weights(**now[0] | now[1])
        losses.append(float(loss))
        grads.append(np.stack(each))
    return weights(net), np.array(losses), np.stack(grads, axis=1)


def same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)  # vectorised, sums may differ in the last bit


def differ(a, b):
    return not np.array_equal(a, b)


@pytest.mark.parametrize("task", TASKS)
def test_one_stream_is_the_run_without_streams_to_the_last_bit(task):
    settings = {"network": NETWORK, "optimizer": ADAM, "seeds": 2, "steps": 30, "bin": 10, "observers": {"it": RTRL()}}
    xr.testing.assert_identical(train(UORO(), TASKS[task], streams=1, **settings), train(UORO(), TASKS[task], **settings))


@pytest.mark.parametrize("name", TRAINED)
def test_one_stream_has_no_axis_and_no_program_of_its_own(name):
    trainer = Trainer((RULES[name](),), TASK, NETWORKS[name], ADAM)
    rule, learner = trainer.rules[0], trainer.start(3)
    assert learner.s.shape == (4,)
    assert learner.key.shape == learner.stream.shape == ()
    state = jax.eval_shape(rule.init, learner.net, learner.key)
    assert [x.shape for x in jax.tree.leaves(learner.states[0])] == [x.shape for x in jax.tree.leaves(state)]
    # What one stream's step works out, in order, is what the contract's equations say, and no mean is taken.
    x, target = (array[0] for array in data(trainer, learner, 1))

    def plain(learner, x, target):
        net = learner.net
        xi = noise(net, learner.key, 0)
        r_hat, v, r = net.step(learner.s, x, xi)
        loss, error = net.loss_and_error(net.readout(r), target)
        step = Step(learner.s, r_hat, v, r, error, target, loss=loss, xi=xi, weight=jnp.ones(()))
        G, state = rule.update(net, step, learner.states[0], rule_key(learner.key, 0, 1))
        gradient = {"W": G, "W_out": jnp.outer(error, r), "b_out": error}
        after, memory = trainer.optimizer.step(0, gradient, learner.optimizer, weights(net), loss)
        return Learner(net.with_weights(**after), r, memory, (state,), learner.stream, learner.key), loss, [G]

    programs = [str(jax.make_jaxpr(f)(learner, x, target)) for f in (plain, lambda s, x, y: trainer.step(s, 0, x, y))]
    assert programs[0] == programs[1]


@pytest.mark.parametrize("task", TASKS)
def test_stream_0_is_the_only_stream_and_the_others_differ_in_rates_data_and_noise(task):
    one, four = (Trainer((UORO(), DNI()), TASKS[task], NETWORK, ADAM, streams) for streams in (1, 4))
    alone, learner = one.start(5), four.start(5)
    same((alone.net, alone.optimizer), (learner.net, learner.optimizer))
    same(alone, one_of(learner, 0))
    played = data(four, learner)
    same(data(one, alone), [array[:, 0] for array in played])
    for array in (learner.s, jax.random.key_data(learner.key), *(jnp.moveaxis(array, 1, 0) for array in played)):
        assert len(np.unique(np.asarray(array).reshape(4, -1), axis=0)) == 4
    inputs = jax.jit(jax.vmap(lambda seed: data(four, four.start(seed))[0]))(jnp.arange(40))
    coins = np.concatenate(inputs[:, :: getattr(TASKS[task], "hold", 1), :, 0])
    between = np.corrcoef(np.concatenate([coins[1:], coins[:-1]], axis=1).T)  # also of one stream with another's next coin
    assert abs(between - np.eye(8)).max() < 5 / np.sqrt(len(coins))


def test_no_stream_has_a_key_that_a_split_a_rule_or_a_step_has():
    """jax.random.split(key)[i] is jax.random.fold_in(key, i): a stream's plain number would give a key that is in use."""
    learner = Trainer((UORO(), RFLO()), TASK, NETWORK, ADAM, 50).start(0)
    for streams in (learner.key, learner.stream):
        used = [*jax.random.split(streams[0], 50), *(rule_key(streams[0], i, t) for i in range(2) for t in range(50))]
        used += [jax.random.fold_in(streams[0], i) for i in range(50)]
        in_use = {tuple(jax.random.key_data(key).tolist()) for key in used}
        own = {tuple(row) for row in jax.random.key_data(streams).tolist()}
        assert len(own) == 50
        assert not own & in_use


def test_streams_begin_with_the_same_learning_states_so_that_random_feedback_is_shared():
    learner = Trainer((RFLO(RandomFeedback()), DNI()), TASK, NETWORK, ADAM, 3).start(0)
    for leaf in jax.tree.leaves([learner.states[0], learner.states[1].A]):
        same(leaf, jnp.broadcast_to(leaf[0], leaf.shape))
    assert abs(learner.states[0].feedback).min() > 0


@pytest.mark.parametrize("name", EACH_RULE)
def test_at_frozen_weights_the_gradient_is_the_mean_of_those_of_runs_with_one_stream(name):
    three, one = (Trainer((RULES[name](),), TASK, NETWORKS[name], FROZEN, streams) for streams in (3, 1))
    learner = three.start(1)
    played = data(three, learner)
    after, (loss, G) = stepped(three, learner, *played)
    alone = [stepped(one, one_of(learner, s), *(array[:, s] for array in played)) for s in range(3)]
    np.testing.assert_allclose(G, np.mean([told[1] for _, told in alone], axis=0), rtol=0, atol=ROUNDING[name])
    np.testing.assert_allclose(loss, np.mean([told[0] for _, told in alone], axis=0), rtol=1e-12)
    assert name == "fixed_w" or abs(alone[0][1][1] - alone[1][1][1]).max() > 1e-3
    for s, (end, _) in enumerate(alone):
        for x, y in zip(jax.tree.leaves((end.s, end.states)), jax.tree.leaves((lambda o: (o.s, o.states))(one_of(after, s)))):
            np.testing.assert_allclose(x, y, rtol=0, atol=ROUNDING[name])


@pytest.mark.parametrize("name", TRAINED)
def test_learning_streams_are_a_loop_over_them_by_hand(name):
    trainer = Trainer((RULES[name](), UORO()), TASKS["mimic"], NETWORKS[name], ADAM, 3)
    learner = trainer.start(2)
    played = data(trainer, learner)
    after, (loss, *grads) = stepped(trainer, learner, *played)
    final, losses, Gs = by_hand(trainer, learner, *played)
    np.testing.assert_allclose(loss, losses, rtol=max(1e-10, ROUNDING[name]))
    np.testing.assert_allclose(grads, Gs, rtol=1e-9, atol=ROUNDING[name])
    for which, array in final.items():
        np.testing.assert_allclose(weights(after.net)[which], array, rtol=0, atol=max(1e-10, ROUNDING[name]))
        assert (which == "W" and name == "fixed_w") or abs(array - weights(learner.net)[which]).max() > 1e-2


@pytest.mark.parametrize("name", EACH_RULE)
def test_streams_with_the_same_data_rates_and_noise_are_one_stream(name):
    three, one = (Trainer((RULES[name](),), TASK, NETWORKS[name], optax.sgd(0.1), streams) for streams in (3, 1))
    alone, learner = one.start(4), three.start(4)
    twins = eqx.tree_at(lambda s: (s.s, s.key), learner, (jnp.stack([alone.s] * 3), jnp.stack([alone.key] * 3)))
    x, target = data(one, alone)
    after, told = stepped(three, twins, jnp.stack([x] * 3, axis=1), jnp.stack([target] * 3, axis=1))
    only, expected = stepped(one, alone, x, target)
    for a, b in zip(told, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=ROUNDING[name])
    for which, array in weights(only.net).items():
        np.testing.assert_allclose(weights(after.net)[which], array, rtol=0, atol=ROUNDING[name])


def test_mimic_has_one_target_for_all_streams_of_a_seed_and_another_for_the_next_seed():
    trainer = Trainer((RFLO(),), Mimic(3, 2), NETWORK, ADAM, 3)
    learners, _ = eqx.filter_jit(lanes.start)(trainer, jnp.arange(2), 1)
    target = learners.stream.target
    assert target.W.shape == (2, 3, 4, 8)
    for array in (target.W, target.W_out, target.b_out):
        same(array, jnp.broadcast_to(array[:, :1], array.shape))
        assert abs(array[0] - array[1]).min() > 0
    alone = Trainer((RFLO(),), Mimic(3, 2), NETWORK, ADAM).start(1).stream
    for ours, its in zip(jax.tree.leaves(target), jax.tree.leaves(alone.target), strict=True):
        np.testing.assert_allclose(ours[1, 2], its, rtol=0, atol=1e-14)
    learner = jax.tree.map(lambda leaf: leaf[1], learners.stream)
    inputs, targets = trainer.chunk(learner, jnp.array(0), 30)[1][:2]
    for s in range(3):  # each stream's labels are the one target's answers to its own coins
        r = alone.s
        for x, y in zip(inputs[:, s], targets[:, s], strict=True):
            _, _, r = alone.target.step(r, x)
            np.testing.assert_allclose(y, alone.target.readout(r), rtol=0, atol=1e-12)
    assert abs(inputs[:, 1] - inputs[:, 2]).max() == 1


def control_flow(jaxpr):
    """Every loop and branch of a program, in order; of a while loop also what its condition works out."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("cond", "while"):
            condition = equation.params["cond_jaxpr"].jaxpr if equation.primitive.name == "while" else None
            asked = [(e.primitive.name, e.outvars[0].aval.shape) for e in condition.eqns] if condition else []
            found.append((equation.primitive.name, asked))
        for inner in programs_of(equation):
            found += control_flow(inner)
    return found


def clocks(states):
    return [leaf for leaf in jax.tree.leaves(states, is_leaf=lambda leaf: isinstance(leaf, Clock)) if isinstance(leaf, Clock)]


@pytest.mark.parametrize("name", TRAINED)
def test_a_clock_is_one_for_all_streams_and_its_branches_stay_branches(name):
    loops = {}
    for streams in (1, 3):
        trainer = Trainer((RULES[name](),), TASK, NETWORKS[name], ADAM, streams)
        learners, _ = eqx.filter_eval_shape(lanes.start, trainer, jnp.arange(2), 1)
        program, (after, _), _ = eqx.filter_make_jaxpr(lanes.segment)(trainer, learners, jnp.array(0), 5)
        for each in (learners, after):
            assert all(clock.steps.shape == () for clock in clocks(each.states))
            assert each.s.shape == ((2, 4) if streams == 1 else (2, 3, 4))
        loops[streams] = control_flow(program.jaxpr)
    assert loops[3] == loops[1]
    if name in ("e_bptt", "rtrl_block"):
        assert loops[3]
        assert clocks(learners.states)


def test_a_run_of_streams_is_their_mean_loss_and_the_alignment_of_their_mean_gradients():
    rules = (RFLO(), RTRL())
    run = train(
        rules[0],
        TASK,
        network=NETWORK,
        optimizer=ADAM,
        seeds=[0, 3],
        steps=12,
        bin=8,
        streams=3,
        observers={"it": rules[1]},
    )
    trainer = Trainer(rules, TASK, NETWORK, ADAM, 3)
    for seed in (0, 3):
        learner = trainer.start(seed)
        final, losses, grads = by_hand(trainer, learner, *data(trainer, learner, 12))
        driver, observer = (np.reshape(each, (12, -1)) for each in grads)
        norms = np.linalg.norm(driver, axis=1), np.linalg.norm(observer, axis=1)
        every = losses, (driver * observer).sum(1) / (norms[0] * norms[1]), *norms
        loss, cosine, *norm = (np.array([each[:8].mean(), each[8:].mean()]) for each in every)
        here = run.sel(seed=seed)
        for told, each in ((here.loss, loss), (here.cosine[0], cosine), (here.norm_ratio[0], norm[1] / norm[0])):
            np.testing.assert_allclose(told, each, rtol=1e-9)
        for which, array in final.items():
            np.testing.assert_allclose(here[which], array, rtol=0, atol=1e-10)


class LoudStream(AbstractTask):
    """Labels of 1e200 from step 7 on, in stream 1 alone, or of nan."""

    loud: float = 1e200
    n_in: int = 1
    n_out: int = 1
    head: str = eqx.field(default="linear", static=True)

    def init(self, net, key):
        return jnp.array(0)

    def stream(self, state, number, count):
        return number

    def chunk(self, state, start, length):
        t = start + jnp.arange(length, dtype=float)[:, None]
        return state, Sample(jnp.cos(t), jnp.where((state == 1) & (t >= 7), self.loud, jnp.sin(t)))


def test_one_stream_that_diverges_or_has_bad_data_is_told_of():
    settings = {"network": NETWORK, "seeds": 1, "steps": 12, "bin": 12}
    assert train(RFLO(), LoudStream(), streams=2, **settings).diverged_at == 7
    assert train(RFLO(), LoudStream(), **settings).diverged_at == -1
    with pytest.raises(ValueError, match="data that are not finite between steps 0 and 12"):
        train(RFLO(), LoudStream(float("nan")), streams=2, **settings)


def test_streams_of_a_recording_play_its_consecutive_parts():
    rows = np.random.default_rng(0).normal(size=(11, 3))
    task = Recorded(rows, rows[:, :2])
    trainer = Trainer((RFLO(),), task, NETWORK, ADAM, 3)
    stream = trainer.start(0).stream
    for first, length in ((0, 2), (2, 1)):
        stream, (inputs, targets, *_) = trainer.chunk(stream, jnp.array(first), length)
        for s in range(3):
            np.testing.assert_array_equal(inputs[:, s], rows[3 * s + first : 3 * s + first + length])
            np.testing.assert_array_equal(targets[:, s], inputs[:, s, :2])
    task.check(3, 3)
    train(RFLO(), task, network=NETWORK, seeds=1, steps=3, bin=1, streams=3)
    with pytest.raises(ValueError, match="the recording has 11 steps, fewer than the 3 streams of 4 asked for"):
        train(RFLO(), task, network=NETWORK, seeds=1, steps=4, bin=1, streams=3)


class Alone(LoudStream):
    stream = AbstractTask.stream


BAD = {
    "the number of streams must be a whole number of at least 1, not 0.": {"streams": 0},
    "the number of streams must be a whole number of at least 1, not True.": {"streams": True},
    "the number of streams must be at most 2,147,483,647, not 2147483648.": {"streams": 2**31},
    "the task Alone has no parallel streams: it does not define `stream`.": {"streams": 2, "task": Alone()},
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_streams_are_refused_in_one_sentence(sentence):
    settings = {"task": TASK, "network": NETWORK, "seeds": 1, "steps": 5, "bin": 5, **BAD[sentence]}
    with pytest.raises(ValueError) as refused:
        train(RFLO(), **settings)
    assert str(refused.value) == sentence


def test_streams_are_part_of_what_a_run_is():
    table = {"rule": "rflo", "task": "add", "network": {"n": 4}, "steps": 40, "bin": 20}
    run, one, two = (Run.create(table | more) for more in ({}, {"streams": 1}, {"streams": 2}))
    assert run.text() == one.text()
    assert json.loads(two.text()) == json.loads(run.text()) | {"streams": 2}
    for wrong in (0, 1.5, True, "many"):
        with pytest.raises(ValueError, match=f"streams must be a whole number of at least 1, not {wrong!r}"):
            Run.create(table | {"streams": wrong})


@pytest.mark.slow
def test_a_worker_trains_as_many_streams_as_the_run_says(tmp_path):
    run = Run.create({"rule": "e_bptt", "task": "mimic", "network": {"n": 4}, "steps": 40, "bin": 20, "streams": 3})
    cells = tuple(Cell(Run(**json.loads(json.dumps(run.model_dump()))), seed) for seed in (0, 1))
    work(Job(writable_folder(tmp_path), cells, ("mimic: e_bptt",) * 2, 1.0))
    written = read_cells(tmp_path, run, [0, 1])
    assert json.loads(written.attrs["run"])["streams"] == 3
    expected = train(EBPTT(), Mimic(), network=NETWORK, seeds=2, steps=40, bin=20, streams=3)
    xr.testing.assert_equal(written.drop_vars("seconds"), expected)
    assert differ(expected.loss, train(EBPTT(), Mimic(), network=NETWORK, seeds=2, steps=40, bin=20).loss)
