"""Clips, schedules and rates of parts: against plain NumPy, against optax itself, and by every way to ask for them."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recredit.network import Network
from recredit.optimizers import CLIPS, SCHEDULES, complete_optimizer, make_optimizer, optimizers
from recredit.rules import EBPTT, RFLO
from recredit.runs.request import request
from recredit.runs.settings import Run
from recredit.runs.sweep import read_sweep
from recredit.tasks import Add
from recredit.training.lanes import pack_key
from recredit.training.loop import train
from recredit.training.optimizer import Optimizer
from recredit.training.pack import Member, train_pack
from recredit.training.step import Trainer, weights

N, STEPS, RATE = 4, 12, 0.25
TASK, NETWORK = Add(1, 2, 1), Network(n=N)
COLUMNS = {"W_rec": slice(N), "W_in": slice(N, -1), "b_rec": slice(-1, None)}


def optimizer(name="sgd", rate=RATE, **settings):
    return make_optimizer(complete_optimizer({"name": name, "learning_rate": rate, **settings}), N)


def trainer(given, rule=RFLO()):
    return Trainer((rule,), TASK, NETWORK, given)


@pytest.fixture(scope="module")
def run():
    """The initial weights of a run, and its gradient at each step."""
    told = optax.GradientTransformation(
        lambda weights: jax.tree.map(jnp.zeros_like, weights), lambda gradient, _, weights=None: (gradient, gradient)
    )
    learning = trainer(optax.chain(told, optax.scale(-RATE)))
    start = learning.start(3)
    sample = TASK.chunk(start.stream, jnp.array(0), STEPS)[1]

    def step(learner, now):
        learner = learning.step(learner, *now)[0]
        return learner, learner.optimizer[0].state[0]

    gradients = jax.jit(lambda: jax.lax.scan(step, start, (jnp.arange(STEPS), sample.x, sample.target))[1])()
    return jax.tree.map(np.asarray, (weights(start.net), gradients))


def taken(given, run, period=1):
    """The weights after each step of such a run under an optimiser."""
    start, gradients = jax.tree.map(jnp.asarray, run)
    ours = Optimizer(given, start, period)

    def step(now, t_gradient):
        t, gradient = t_gradient
        now = ours.step(t, gradient, now[1], now[0], jnp.array(1.0))
        return now, now[0]

    def go():
        begun = start, ours.init(start, jax.random.key(3))
        return jax.lax.scan(step, begun, (jnp.arange(STEPS), gradients))[1]

    return jax.tree.map(np.asarray, eqx.filter_jit(go)())


def in_numpy(run, rate=lambda t: RATE, clip=lambda g, w: g):
    """Plain gradient descent."""
    now, gradients = run
    for t in range(STEPS):
        clipped = clip({name: g[t] for name, g in gradients.items()}, now)
        now = {name: w - rate(t) * clipped[name] for name, w in now.items()}
        yield now


def check(told, expected, tolerance=1e-12):
    for t, now in enumerate(expected):
        for name, w in now.items():
            np.testing.assert_allclose(told[name][t], w, rtol=0, atol=tolerance, err_msg=f"{name} at {t}")


def norm(g, **along):
    return np.sqrt(np.sum(g**2, **along))


def adaptive(g, w):
    """Brock et al. 2021: a unit's gradient is at most 0.01 of its weights, which are a row of W."""

    def one(g, w):
        most, size = 0.01 * np.maximum(norm(w, axis=-1, keepdims=True), 1e-3), norm(g, axis=-1, keepdims=True)
        return np.where(size < most, g, g * most / np.maximum(size, 1e-6))

    return {name: one(g[name], w[name]) for name in g}


def all_together(g, _):
    size = math.sqrt(sum(np.sum(each**2) for each in g.values()))
    return {name: each * min(1, 0.5 / size) for name, each in g.items()}


CLIPPED = {
    "adaptive_grad_clip": ({"clipping": 0.01}, adaptive),
    "clip": ({"max_delta": 0.05}, lambda g, _: {name: np.clip(each, -0.05, 0.05) for name, each in g.items()}),
    "clip_by_block_rms": (
        {"threshold": 0.1},
        lambda g, _: {name: each / max(1, np.sqrt(np.mean(each**2)) / 0.1) for name, each in g.items()},
    ),
    "clip_by_global_norm": ({"max_norm": 0.5}, all_together),
}


@pytest.mark.parametrize("name", CLIPS)
def test_each_clip_is_what_its_formula_says(name, run):
    settings, formula = CLIPPED[name]
    told = taken(optimizer(clip={"name": name, **settings}), run)
    check(told, in_numpy(run, clip=formula))
    assert abs(told["W_out"][-1] - [*in_numpy(run)][-1]["W_out"]).max() > 1e-3  # it does clip


def line(a, b, t, steps):
    return a + (b - a) * min(max(t / steps, 0), 1)


def cosine(a, b, t, steps):
    return b + (a - b) * (1 + math.cos(math.pi * min(max(t / steps, 0), 1))) / 2


def one_cycle(between, ups):
    """Values to pass through by their step."""

    def rate(t):
        last = ups[-1], (math.inf, ups[-1][1])
        (before, a), (after, b) = next(((x, y) for x, y in itertools.pairwise(ups) if x[0] <= t < y[0]), last)
        return between(a, b, t - before, after - before)

    return rate


SCHEDULED = {
    "constant_schedule": ({}, lambda t: RATE),
    "cosine_decay_schedule": (
        {"decay_steps": 8, "alpha": 0.1, "exponent": 2.0},
        lambda t: RATE * (0.1 + 0.9 * ((1 + math.cos(math.pi * min(t / 8, 1))) / 2) ** 2),
    ),
    "cosine_onecycle_schedule": (
        {"transition_steps": 10, "pct_start": 0.3, "div_factor": 5.0, "final_div_factor": 8.0},
        one_cycle(cosine, [(0, RATE / 5), (3, RATE), (10, RATE / 40)]),
    ),
    "exponential_decay": (
        {"transition_steps": 2, "decay_rate": 0.5, "transition_begin": 3, "staircase": True, "end_value": 0.02},
        lambda t: max(RATE * 0.5 ** (max(t - 3, 0) // 2), 0.02),
    ),
    "linear_onecycle_schedule": (
        {"transition_steps": 10, "pct_start": 0.3, "pct_final": 0.8, "div_factor": 5.0, "final_div_factor": 8.0},
        one_cycle(line, [(0, RATE / 5), (3, RATE), (8, RATE / 5), (10, RATE / 40)]),
    ),
    "linear_schedule": (
        {"end_value": 0.05, "transition_steps": 6, "transition_begin": 2},
        lambda t: line(RATE, 0.05, t - 2, 6),
    ),
    "piecewise_constant_schedule": (
        {"boundaries_and_scales": {3: 0.5, "10": 0.1}},
        lambda t: RATE * (0.5 if t >= 3 else 1) * (0.1 if t >= 10 else 1),
    ),
    "piecewise_interpolate_schedule": (
        {"interpolate_type": "linear", "boundaries_and_scales": {"4": 0.5, "8": 0.5}},
        one_cycle(line, [(0, RATE), (4, RATE / 2), (8, RATE / 4)]),
    ),
    "polynomial_schedule": (
        {"end_value": 0.05, "power": 2.0, "transition_steps": 6},
        lambda t: 0.05 + (RATE - 0.05) * (1 - min(t / 6, 1)) ** 2,
    ),
    "warmup_constant_schedule": ({"init_value": 0.01, "warmup_steps": 5}, lambda t: line(0.01, RATE, t, 5)),
    "warmup_cosine_decay_schedule": (
        {"init_value": 0.01, "warmup_steps": 4, "decay_steps": 10, "end_value": 0.02},
        lambda t: line(0.01, RATE, t, 4) if t < 4 else cosine(RATE, 0.02, t - 4, 6),
    ),
    "warmup_exponential_decay_schedule": (
        {"init_value": 0.01, "warmup_steps": 4, "transition_steps": 2, "decay_rate": 0.5},
        lambda t: line(0.01, RATE, t, 4) if t < 4 else RATE * 0.5 ** ((t - 4) / 2),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_schedule_is_what_its_formula_says(name, run):
    settings, rate = SCHEDULED[name]
    check(taken(optimizer(schedule={"name": name, **settings}), run), in_numpy(run, rate), 1e-7)  # optax counts in 32 bits


def test_a_run_is_that_of_the_same_optimiser_made_by_optax_itself():
    table = {
        "name": "adam",
        "learning_rate": 0.02,
        "clip": {"name": "clip_by_global_norm", "max_norm": 0.3},
        "schedule": {"name": "cosine_decay_schedule", "decay_steps": 9},
    }
    direct = optax.chain(optax.clip_by_global_norm(0.3), optax.adam(optax.cosine_decay_schedule(0.02, 9)))
    settings = {"network": {"n": N}, "seeds": 2, "steps": STEPS, "bin": 4}
    one, other = (train("rflo", TASK, optimizer=given, **settings) for given in (table, direct))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


STEPPED = {
    "adamw": {"weight_decay": 0.1},
    "lion": {"weight_decay": 0.1},
    "noisy_sgd": {"eta": 1.0},
    "sgd": {"momentum": 0.9},
}
CLIP = {"name": "clip_by_global_norm", "max_norm": 0.3}
WARM_UP = {"name": "warmup_constant_schedule", "init_value": 0.01, "warmup_steps": 5}


def parts_of(arrays):
    """Each part by name, whatever axes come before."""
    columns = {name: arrays["W"][..., own] for name, own in COLUMNS.items()}
    return columns | {"W_out": arrays["W_out"], "b_out": arrays["b_out"]}


QUICK = {("adamw", 3), ("noisy_sgd", 1)}


@pytest.mark.parametrize(
    ("name", "period"),
    [
        pytest.param(name, period, marks=() if (name, period) in QUICK else pytest.mark.slow)
        for name in STEPPED
        for period in (1, 3)
    ],
)
def test_a_part_of_rate_0_stands_still_to_the_bit(name, period, run):
    start, gradients = run
    once = {**gradients, "W": np.where(np.arange(STEPS)[:, None, None] % period == period - 1, gradients["W"], 0)}
    for still in (["W_rec", "W_out"], ["W_in", "b_rec"], ["b_out"]):
        given = optimizer(name, clip=CLIP, schedule=WARM_UP, **STEPPED[name], **dict.fromkeys(still, 0))
        told = parts_of(taken(given, (start, once), period))
        for part, before in parts_of(start).items():
            moved = told[part] != before
            assert not moved.any() if part in still else moved[-1].any(), (part, still)


@pytest.mark.parametrize("rule", [RFLO(), EBPTT(window=3)], ids=["rflo", "e_bptt"])
def test_what_stands_still_does_so_in_a_run_too(rule):
    settings = {"network": {"n": N}, "seeds": 2, "steps": STEPS, "bin": 4}
    table = {"name": "adamw", "learning_rate": 0.1, "weight_decay": 0.1, "W_in": 0, "b_rec": 0, "b_out": 0}
    told, start = (train(rule, TASK, optimizer=given, **settings) for given in (table, optax.sgd(0.0)))
    moved = {name: told[name].values != start[name].values for name in ("W", "W_out", "b_out")}
    assert {part for part, each in parts_of(moved).items() if each.any()} == {"W_rec", "W_out"}


def test_what_stands_still_does_not_count_in_a_clip(run):
    still = {"W_out", "W_in"}

    def clip(g, _):
        g = {"W": g["W"] * np.isin(np.arange(N + 3), [N, N + 1], invert=True), "W_out": 0 * g["W_out"], "b_out": g["b_out"]}
        return all_together(g, _)

    given = optimizer(clip={"name": "clip_by_global_norm", "max_norm": 0.5}, **dict.fromkeys(still, 0))
    check(taken(given, run), in_numpy(run, clip=clip))


@pytest.mark.parametrize("name", ["adamw", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lion", "sgd"))])
def test_a_part_at_the_rate_of_all_changes_nothing(name, run):
    whole = taken(optimizer(name, clip=CLIP, **STEPPED[name]), run)
    for parts in (["W_in"], ["b_out", "W_rec"]):
        told = taken(optimizer(name, clip=CLIP, **STEPPED[name], **dict.fromkeys(parts, RATE)), run)
        check(whole, ({key: array[t] for key, array in told.items()} for t in range(STEPS)))


@pytest.mark.parametrize("rates", [{"W_out": 0.01}, {"W_in": 0.01, "b_rec": 0.5}], ids=", ".join)
def test_parts_of_other_rates_are_those_of_other_optimisers(rates, run):
    settings = {"name": "adamw", "schedule": {"name": "exponential_decay", "transition_steps": 5, "decay_rate": 0.5}}
    told = parts_of(taken(optimizer(**settings, **rates), run))
    for rate in {RATE, *rates.values()}:
        alone = parts_of(taken(optimizer(**settings, rate=rate), run))
        for part in told:
            if rates.get(part, RATE) == rate:
                np.testing.assert_allclose(told[part], alone[part], rtol=0, atol=1e-12, err_msg=part)


def test_what_is_not_asked_for_leaves_no_trace():
    assert complete_optimizer({"clip": None, "schedule": None, "W_in": None}) == complete_optimizer("sgd")
    assert complete_optimizer("sgd").keys() == {"name", "learning_rate", "momentum", "nesterov", "accumulator_dtype"}
    one, other = (pack_key(trainer(each)) for each in (optimizer("adam"), optax.adam(RATE)))
    assert one == other


PACKS = {
    "steps of a schedule": [{"schedule": {"name": "cosine_decay_schedule", "decay_steps": steps}} for steps in (5, 8)],
    "the norm of a clip": [{"clip": {**CLIP, "max_norm": most}} for most in (0.1, 0.3)],
    "rates of a part of W": [{"W_in": rate} for rate in (0.01, 0.5)],
    "rates of the read-out": [{"W_out": rate} for rate in (0.01, 0.5)],
    "the peak of a warm-up": [
        {"schedule": {"name": "warmup_cosine_decay_schedule", "init_value": 0.01, "warmup_steps": up, "decay_steps": 9}}
        for up in (3, 4)
    ],
}


@pytest.mark.parametrize("what", [pytest.param(what, marks=pytest.mark.slow) if "part" in what else what for what in PACKS])
def test_numbers_of_clips_schedules_and_parts_share_a_program(what):
    trainers = [trainer(optimizer("adam", **each)) for each in PACKS[what]]
    assert len(set(map(pack_key, trainers))) == 1
    if "part" in what:
        together = train_pack([Member(each, [0, 1]) for each in trainers], STEPS, STEPS)
        for each, data in zip(PACKS[what], together):
            alone = train(RFLO(), TASK, network=NETWORK, optimizer=optimizer("adam", **each), seeds=2, steps=STEPS, bin=STEPS)
            np.testing.assert_allclose(data.W, alone.W, rtol=1e-6, atol=1e-9)
        assert (together[0].W != together[1].W).any()


SWEEP = """
task = "add"
rule = "rflo"
steps = 100
network.n = 4
optimizer = {name = "adam", schedule = {name = "cosine_decay_schedule"}}
[grid]
optimizer.schedule.decay_steps = [50, 1e2]
optimizer.W_out = [1e-3, 1e-2]
"""


def test_schedules_and_rates_of_parts_are_axes_of_a_sweep(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(SWEEP)
    points = read_sweep(file).points
    found = [(point.run.optimizer["schedule"]["decay_steps"], point.run.optimizer["W_out"]) for point in points]
    assert found == [(50, 1e-3), (50, 1e-2), (100, 1e-3), (100, 1e-2)]
    assert len({pack_key(trainer(point.run.build()[2])) for point in points}) == 1


ASKED = """optimizer=adam optimizer.clip=clip_by_global_norm optimizer.clip.max_norm=1 optimizer.W_in=0
    optimizer.schedule.boundaries_and_scales.1e3=0.1 optimizer.schedule=piecewise_constant_schedule""".replace("1e3", "1000")
WRITTEN = """
task = "add"
rule = "rflo"
network.n = 4
[optimizer]
name = "adam"
W_in = 0
clip = {name = "clip_by_global_norm", max_norm = 1}
[optimizer.schedule]
name = "piecewise_constant_schedule"
boundaries_and_scales = {1000 = 0.1}
"""


def test_the_same_is_asked_for_by_settings_by_toml_and_in_python(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(WRITTEN)
    written = request(file, {}, []).runs["rflo"]
    asked = request(None, {"task": "add", "rule": ("rflo",)}, [*ASKED.split(), "network.n=4"]).runs["rflo"]
    assert asked.text() == written.text() == Run(**Run.model_validate_json(written.model_dump_json()).model_dump()).text()
    assert written.optimizer["clip"] == {"name": "clip_by_global_norm", "max_norm": 1.0}
    assert written.optimizer["schedule"] == {"name": "piecewise_constant_schedule", "boundaries_and_scales": {"1000": 0.1}}
    assert written.optimizer["W_in"] == 0
    table = {
        "name": "adam",
        "W_in": 0,
        "W_out": None,
        "clip": {"name": "clip_by_global_norm", "max_norm": np.float32(1)},
        "schedule": {"name": "piecewise_constant_schedule", "boundaries_and_scales": {1000: 0.1}},
    }
    assert complete_optimizer(table) == written.optimizer


SCHEDULE, WARM = "cosine_decay_schedule", "warmup_cosine_decay_schedule"
REFUSED = {
    'Did you mean "clip_by_global_norm"?': {"clip": "clip_by_norm"},
    'Did you mean "cosine_decay_schedule"?': {"schedule": "cosine_decay"},
    'Did you mean "W_out"?': {"W_ou": 0},
    'adam has no setting "clipp"; its settings: learning_rate, b1,': {"clipp": "clip"},
    "the clip needs a name, one of: adaptive_grad_clip, clip, ": {"clip": 1},
    "clip clip needs the setting max_delta.": {"clip": "clip"},
    "schedule cosine_decay_schedule needs the setting decay_steps.": {"schedule": SCHEDULE},
    'schedule cosine_decay_schedule has no setting "init_value"': {"schedule": {"name": SCHEDULE, "init_value": 1}},
    "decay_steps must be a whole number of at least 1, not 0.": {"schedule": {"name": SCHEDULE, "decay_steps": 0}},
    "decay_steps cannot be 2.5": {"schedule": {"name": SCHEDULE, "decay_steps": 2.5}},
    "alpha must lie in [0, inf), not nan.": {"schedule": {"name": SCHEDULE, "decay_steps": 3, "alpha": math.nan}},
    "decay_rate must lie in (0, inf), not 0.0.": {
        "schedule": {"name": "exponential_decay", "transition_steps": 2, "decay_rate": 0}
    },
    "pct_start must lie in [0, 1], not 2.0.": {
        "schedule": {"name": "cosine_onecycle_schedule", "transition_steps": 2, "pct_start": 2}
    },
    "decay_steps, 5, include the warm-up and must exceed its warmup_steps, 5.": {
        "schedule": {"name": WARM, "init_value": 0, "decay_steps": 5, "warmup_steps": 5}
    },
    "max_norm must lie in (0, inf), not 0.0.": {"clip": {"name": "clip_by_global_norm", "max_norm": 0}},
    "max_delta must lie in [0, inf), not -1.0.": {"clip": {"name": "clip", "max_delta": -1}},
    "max_delta cannot be the word '1'": {"clip": {"name": "clip", "max_delta": "1"}},
    "the learning rate of W_in must lie in [0, inf), not -1.0.": {"W_in": -1},
    "the learning rate of b_out must lie in [0, inf), not inf.": {"b_out": math.inf},
    "W_in cannot be 'no'": {"W_in": "no"},
    "as in 1000 = 0.1, not {'soon': 0.5}.": {
        "schedule": {"name": "piecewise_constant_schedule", "boundaries_and_scales": {"soon": 0.5}}
    },
    "boundaries_and_scales.7 must lie in [0, inf), not -1.0.": {
        "schedule": {"name": "piecewise_constant_schedule", "boundaries_and_scales": {7: -1}}
    },
    "boundaries_and_scales cannot be 3: input should be a valid dictionary.": {
        "schedule": {"name": "piecewise_constant_schedule", "boundaries_and_scales": 3}
    },
    'interpolate_type "cubic" is unknown; allowed: linear, cosine.': {
        "schedule": {"name": "piecewise_interpolate_schedule", "interpolate_type": "cubic", "boundaries_and_scales": {7: 1}}
    },
    'rprop has no setting "schedule"; its settings: ': {"name": "rprop", "schedule": {"name": SCHEDULE, "decay_steps": 3}},
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_makes_no_sense_is_refused_in_one_sentence(sentence):
    with pytest.raises(ValueError) as refused:
        optimizer(**{"name": "adam", **REFUSED[sentence]})
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_optimiser_takes_a_clip_and_rates_of_parts_and_a_schedule_if_its_rate_may_be_one():
    refusing = {"optimistic_adam", "rprop", "sm3"}
    schedule = {"name": SCHEDULE, "decay_steps": 5}
    start = {"W": jnp.ones((N, N + 3)), "W_out": jnp.ones((2, N)), "b_out": jnp.ones(2)}
    for name in optimizers():
        given = optimizer(name, clip=CLIP, W_in=0, W_out=0.1, **({} if name in refusing else {"schedule": schedule}))
        jax.eval_shape(lambda weights, given=given: given.update(weights, given.init(weights), weights), start)
