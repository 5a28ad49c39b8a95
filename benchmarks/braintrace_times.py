"""BrainTrace as a contender: the online learning that recredit does too; run by BrainTrace's own environment.

    make bench                                                       (makes that environment, benchmarks/.venv)
    benchmarks/.venv/bin/python benchmarks/braintrace_times.py       (holds the gradients against jax.grad's)

Nothing of recredit is imported. Both learn with the same network, r' = (1 - alpha) r + alpha tanh(W [x; r] + b), a linear
read-out, softmax cross-entropy, 2 inputs and 2 outputs, float32. W, b, W_out and b_out move by plain SGD after every step; each
seed has weights, data, learning state and random signs of its own (vmap); a call is one scan, compiled, on data already there.

recredit's rule   BrainTrace's class                    the same work?
rflo              D_RTRL                                the same gradient: its diagonal scope keeps the leak of J alone
rtrl              SnAp(n=2)                             the same gradient: W is dense, so the neighbourhood is the network
uoro              UORO(vjp_method="single-step")        the same estimator, but J is built by n backward passes: n^3, not n^2

Two ways around what BrainTrace 0.2.6 and brainstate 0.5.4 do not do. The read-out stays outside of what BrainTrace compiles:
inside, a single-step learner gives it a gradient of zero. And seeds are vectorised by jax.vmap over the pure function that
brainstate derives: BrainTrace's own vmap shares the weights, and brainstate's cannot map the random key that UORO holds.

One seed alone and all together are tried, and the faster way is kept. `compile_s` is the time to build, trace and compile.
"""

import json
import time
import warnings
from functools import partial

import brainstate
import braintrace
import costs
import jax
import jax.numpy as jnp
from costs import N_IN, N_OUT

ALPHA, MAX_GIB, MAX_SECONDS = 0.5, 3, 10
MAX_SNAP = 256  # units: compiling SnAp for 512 takes most of 16 GB
RULES = {
    "rflo": ("D_RTRL", {}),
    "uoro": ("UORO", {"vjp_method": "single-step"}),
    "rtrl": ("SnAp", {"n": 2, "snap_max_jacobian_elements": 2**31}),
}


class LeakyCell(brainstate.nn.Module):
    """BrainTrace's ValinaRNNCell with a leak."""

    def __init__(self, n: int):
        super().__init__()
        self.n = n
        self.linear = braintrace.nn.Linear(N_IN + n, n)

    def init_state(self, *args, **kwargs):
        self.r = brainstate.HiddenState(jnp.zeros(self.n))

    def update(self, x):
        r = self.r.value
        self.r.value = (1 - ALPHA) * r + ALPHA * jnp.tanh(self.linear(jnp.concatenate([x, r])))
        return self.r.value


def cross_entropy(z, target):
    return -jnp.sum(target * jax.nn.log_softmax(z))


class Learner:
    """A cell under a BrainTrace algorithm and its read-out, for several seeds at once."""

    def __init__(self, rule: str, n: int, seeds: int, learning_rate: float = costs.RATE, tell_gradients: bool = False):
        name, options = RULES[rule]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SnAp tells that it takes the whole network for the neighbourhood: what is wanted
            self.cell = braintrace.compile(LeakyCell(n), getattr(braintrace, name), jnp.zeros(N_IN), **options)
        self.readout = brainstate.nn.Linear(n, N_OUT)
        self.weights = {"W": self.cell.param_states["linear", "weight"], "W_out": self.readout.weight}
        self.seeds, self.learning_rate, self.tell_gradients = seeds, learning_rate, tell_gradients
        self.one_seed = brainstate.transform.StatefulFunction(self.learn)

    def learn(self, inputs, targets):
        """All steps of one seed, in BrainTrace's terms: each step's loss, or its gradients where they are to be told."""

        def step(x, target):
            gradient, loss = brainstate.transform.grad(
                lambda: cross_entropy(self.readout(self.cell(x)), target), self.weights, return_value=True
            )()
            for name, state in self.weights.items():
                state.value = jax.tree.map(lambda w, g: w - self.learning_rate * g, state.value, gradient[name])
            return gradient if self.tell_gradients else loss

        return brainstate.transform.for_loop(step, inputs, targets)

    def compile(self, inputs, targets):
        """(values of the states, inputs, targets) -> (values after, what each step told), for all seeds."""
        states = self.one_seed.get_states(inputs[0], targets[0])
        values = [repeat(state.value, self.seeds) for state in states]
        for i, state in enumerate(states):
            if state is getattr(self.cell, "projection_rng", None):
                values[i] = jax.random.split(jax.random.key(0), self.seeds)
            elif state in self.weights.values():
                values[i] = draw(jax.random.key(i), values[i]["weight"].shape)
        run = jax.jit(jax.vmap(self.one_seed.jaxpr_call), donate_argnums=0)
        return run.lower(tuple(values), inputs, targets).compile(), tuple(values)


def draw(key, shape: tuple[int, int, int]):
    """The weights of all seeds, drawn as recredit draws them."""
    weight, bias = jax.random.normal(key, shape), jnp.zeros((shape[0], shape[2]))
    if shape[2] == N_OUT:
        return {"weight": weight / jnp.sqrt(shape[1]), "bias": bias}
    W_in, W_rec = weight[:, :N_IN] / jnp.sqrt(N_IN), jnp.linalg.qr(weight[:, N_IN:])[0]
    return {"weight": jnp.concatenate([W_in, W_rec], axis=1), "bias": bias}


def repeat(tree, seeds: int):
    """The same for all seeds."""
    return jax.tree.map(lambda a: jnp.repeat(jnp.asarray(a)[None], seeds, axis=0), tree)


def data(seeds: int, steps: int):
    """Random bits, one-hot, and as the label the bit shown one step before."""
    inputs = jax.random.randint(jax.random.key(seeds), (seeds, steps), 0, 2)
    return jax.nn.one_hot(inputs, N_IN), jax.nn.one_hot(jnp.roll(inputs, 1, axis=1), N_OUT)


class Program:
    """Several seeds that learn together."""

    def __init__(self, rule: str, n: int, seeds: int):
        if rule == "rtrl" and n > MAX_SNAP:
            raise MemoryError(f"with more than {MAX_SNAP} units it takes more memory than there is for it.")
        self.seeds, self.steps = seeds, costs.steps(seeds * seconds(rule, n))
        self.samples = jax.block_until_ready(data(seeds, self.steps))
        begin = time.perf_counter()
        self.run, self.values = Learner(rule, n, seeds).compile(*self.samples)
        self.about = {"compile_s": time.perf_counter() - begin, "variant": RULES[rule][0]}
        memory = self.run.memory_analysis()
        gib = (memory.temp_size_in_bytes + memory.argument_size_in_bytes) / 2**30
        if gib > MAX_GIB:
            raise MemoryError(f"it takes {gib:.1f} GiB, more than the {MAX_GIB} allowed.")

    def call(self) -> None:
        self.values, losses = jax.block_until_ready(self.run(self.values, *self.samples))
        if not jnp.isfinite(losses).all():
            raise FloatingPointError("the loss is not finite.")


def candidates(rule: str, n: int, seeds: int):
    return [partial(Program, rule, n, many) for many in (1, seeds) if many == 1 or many * seconds(rule, n) < MAX_SECONDS]


def seconds(rule: str, n: int) -> float:
    """About how long a step takes."""
    return costs.seconds("kf_rtrl" if rule == "uoro" else rule, n) + 2e-7


def forget() -> None:
    jax.clear_caches()


MEASURES = {}


def check(rule: str, n: int = 6, steps: int = 8) -> dict:
    """The gradients at weights that stand still against jax.grad's, averaged over random signs; the loss when they move."""
    seeds = 100_000 if rule == "uoro" else 1
    samples = repeat([a[0] for a in data(1, steps)], seeds)
    learner = Learner(rule, n, seeds, learning_rate=0, tell_gradients=True)
    run, values = learner.compile(*samples)
    states = learner.one_seed.get_states(samples[0][0], samples[1][0])
    weights = [jax.tree.map(lambda a: a[0] + 0, values[states.index(state)]) for state in learner.weights.values()]
    moving = [state in learner.weights.values() for state in states]
    values = tuple(repeat(jax.tree.map(lambda a: a[0], v), seeds) if m else v for v, m in zip(values, moving))
    _, told = run(values, *samples)

    def loss_at(weights, t):
        (W, W_out), r = weights, jnp.zeros(n)
        for x in samples[0][0, : t + 1]:
            seen = jax.lax.stop_gradient(r) if rule == "rflo" else r
            r = (1 - ALPHA) * r + ALPHA * jnp.tanh(jnp.concatenate([x, seen]) @ W["weight"] + W["bias"])
        return cross_entropy(r @ W_out["weight"] + W_out["bias"], samples[1][0, t])

    true, error = [jax.grad(loss_at)(weights, t) for t in range(steps)], {}
    for i, name in enumerate(learner.weights):
        want = jnp.stack([jnp.concatenate([g.ravel() for g in jax.tree.leaves(at_t[i])]) for at_t in true])
        got = jnp.concatenate([g.reshape(seeds, steps, -1) for g in jax.tree.leaves(told[name])], axis=2)
        error[name] = float(jnp.linalg.norm(got.mean(0) - want) / jnp.linalg.norm(want))
        error[f"{name}, standard error"] = float(jnp.sqrt(jnp.sum(got.var(0)) / seeds) / jnp.linalg.norm(want))
    samples = data(5, 5_000)
    run, values = Learner(rule, 16, 5, learning_rate=0.03).compile(*samples)
    losses = run(values, *samples)[1].mean(0)
    return {"gradient_error": error, "loss": [float(losses[:200].mean()), float(losses[-200:].mean())]}


if __name__ == "__main__":
    for name in RULES:
        print(json.dumps({"rule": name, "braintrace": RULES[name][0]} | check(name)), flush=True)
