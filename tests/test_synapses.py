"""Which synapses exist and what signs they keep, whatever the optimiser does; what W_rec is at first; what cannot be."""

import random
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recredit.network import RNN, UNITS, LeakyRNN, Network
from recredit.network.leaky import Leaky
from recredit.network.lru import LRU
from recredit.network.units import AbstractUnits
from recredit.rules import RTRL, UORO
from recredit.tasks import Add
from recredit.training.loop import train

DALE = {"density": 0.4, "excitatory": 0.75, "activation": "relu", "self_synapses": False}


def drawn(n=8, n_in=2, key=0, **settings):
    return jax.jit(lambda key: Network(n, **settings).create(n_in, 2, "softmax", key))(jax.random.key(key))


def test_areas_stacks_and_diagonals():
    blocks = np.kron(np.eye(2), np.ones((4, 4))).astype(bool)
    after = np.kron([[0, 0], [1, 0]], np.ones((4, 4))).astype(bool)
    for settings, expected in (
        ({"connections": "areas", "areas": 2}, blocks),
        ({"connections": "stack", "areas": 2}, after),
        ({"connections": "diagonal"}, np.eye(8, dtype=bool)),
        ({"connections": "none"}, np.zeros((8, 8), bool)),
        ({"self_synapses": False}, ~np.eye(8, dtype=bool)),
    ):
        net = drawn(**settings)
        np.testing.assert_array_equal(net.mask[:, :8], expected)
        np.testing.assert_array_equal(net.W_rec[~expected], 0)
        if settings["connections"] != "none" if "connections" in settings else True:
            assert net.W_rec[expected].all()
        assert net.mask[:, -1].all()
        reads = np.arange(8) < 4 if settings.get("connections") == "stack" else np.ones(8, bool)
        np.testing.assert_array_equal(net.mask[:, 8:10].all(1), reads)
        np.testing.assert_array_equal(net.W[~reads, 8:10], 0)
    assert drawn().mask is None
    assert drawn().signs is None


SPARSE = [
    {"density": 0.3},
    {"density": 0.4, "self_synapses": False},
    {"density": 0.5, "connections": "areas", "areas": 3},
    {"density": 0.6, "connections": "stack", "areas": 3},
    {"density": 0.3, "units": UNITS["gru"]()},
]


@pytest.mark.parametrize("settings", SPARSE, ids=str)
def test_as_many_synapses_leave_each_unit_to_units_drawn_at_random(settings):
    may, create = np.asarray(drawn(**settings | {"density": 1.0}).reaches), Network(8, **settings).create
    nets = jax.jit(jax.vmap(lambda key: create(2, 2, "softmax", key)))(jax.random.split(jax.random.key(0), 200))
    masks = np.asarray(jax.vmap(lambda net: net.reaches)(nets))
    sent, may_be = np.rint(settings["density"] * may.sum(0)), np.maximum(may.sum(0), 1)
    assert (masks.sum(1) == sent).all()
    np.testing.assert_allclose(masks.mean(0), may * sent / may_be, atol=0.12)  # five standard errors of a mean at most
    assert nets.fan_out == (masks & ~np.eye(8, dtype=bool)).sum(1).max()


def test_density_is_the_share_of_synapses_and_weights_are_scaled_by_it():
    net = drawn(n=200, density=0.1, W_rec="gaussian", gain=1.5)
    assert (net.mask[:, :200].sum(0) == 20).all()
    radius = abs(np.linalg.eigvals(np.asarray(net.W_rec))).max()
    assert abs(radius - 1.5) < 0.15
    np.testing.assert_allclose((net.W_rec**2).sum(1).mean(), 1.5**2, rtol=0.1)
    other = drawn(n=200, density=0.1, W_rec="gaussian", gain=1.5, key=1)
    assert (net.mask != other.mask).any()  # each seed draws its own


def test_w_rec_at_first():
    net = drawn(n=50, gain=0.7)
    np.testing.assert_allclose(net.W_rec @ net.W_rec.T, 0.49 * np.eye(50), atol=1e-12)
    np.testing.assert_allclose(drawn(n=50, W_rec="identity", gain=0.9).W_rec, 0.9 * np.eye(50), atol=1e-15)
    assert not drawn(W_rec="zero").W_rec.any()
    radius = abs(np.linalg.eigvals(np.asarray(drawn(n=300, W_rec="gaussian", gain=1.2).W_rec))).max()
    assert abs(radius - 1.2) < 0.1


def test_dales_law_at_first():
    net = drawn(n=40, excitatory=0.8, activation="relu")
    np.testing.assert_array_equal(net.signs, np.repeat([1.0, -1.0, 0.0], [32, 8, 3]))
    assert (net.W_rec * net.signs[:40] >= 0).all()
    np.testing.assert_allclose(jnp.linalg.norm(net.W_rec), np.sqrt(40), rtol=1e-12)  # an orthogonal matrix's
    assert abs(net.W_rec.sum(1).mean()) < 1  # excitation and inhibition balance: 32 units of mean weight .1 would give 4


OPTIMIZERS = {
    "sgd": optax.sgd(0.3),
    "momentum": optax.sgd(0.3, momentum=0.9),
    "adam": optax.adam(0.1),
    "adamw": optax.adamw(0.1, weight_decay=0.5),
    "lion": optax.lion(0.05),
    "noisy_sgd": optax.noisy_sgd(0.1, eta=30.0),
    "decay alone": optax.chain(optax.add_decayed_weights(-0.05), optax.sgd(0.1)),
}


@pytest.mark.parametrize(
    ("name", "rule"),
    [("adam", UORO()), *(pytest.param(name, RTRL(), marks=[] if name == "adamw" else pytest.mark.slow) for name in OPTIMIZERS)],
)
def test_mask_and_signs_are_kept_under_every_optimiser(name, rule):
    data = train(rule, Add(1, 2, 1), network=Network(8, **DALE), optimizer=OPTIMIZERS[name], seeds=2, steps=60, bin=60)
    at_wall = 0
    for seed in range(2):
        k_net = jax.random.split(jax.random.key(seed), 4)[0]
        net = Network(8, **DALE).create(2, 2, "softmax", k_net)
        W = data.W[seed].values
        assert not W[~np.asarray(net.mask)].any()
        assert (W * np.asarray(net.signs) >= 0).all()
        assert abs(W - net.W).max() > 1e-3
        at_wall += (W[np.asarray(net.mask)] == 0).sum()
    assert at_wall or name in ("sgd", "decay alone")


def test_a_weight_at_the_wall_comes_back():
    net = LeakyRNN(jnp.zeros((1, 3)), jnp.ones((2, 1)), jnp.zeros(2), 0.5, "relu", "softmax", signs=jnp.array([-1.0, 0, 0]))
    np.testing.assert_array_equal(net.kept(jnp.array([[0.3, 1.0, -1.0]])), [[0.0, 1.0, -1.0]])
    np.testing.assert_array_equal(net.kept(jnp.array([[-0.3, 1.0, -1.0]])), [[-0.3, 1.0, -1.0]])


class Mixing(AbstractUnits):
    variables = ("r",)
    voltages = {"v": "all"}

    def f(self, s, v):
        return (0.5 * s[0] + v[0] / (1 + jnp.sum(v[0] ** 2)),)


class Rolled(Mixing):
    def f(self, s, v):
        return (jnp.roll(s[0], 1) + v[0],)


class MixingRates(Mixing):
    def f(self, s, v):
        return (v[0],)

    def g(self, s):
        return jax.nn.softmax(s[0])


class Short(Mixing):
    def f(self, s, v):
        return (v[0], s[0])


class Failing(Mixing):
    def f(self, s, v):
        return (v[1],)


class Sorted(Mixing):
    """Not by elements in its program, and yet each unit is on its own."""

    def f(self, s, v):
        return (jnp.stack([s[0], v[0]]).sum(0),)


def test_units_that_mix_are_found_when_they_are_made():
    for kind in (Mixing, Rolled):
        with pytest.raises(ValueError, match=f"the units {kind.__name__} mix: f of one unit depends on another"):
            kind()
    with pytest.raises(ValueError, match="the units MixingRates mix: g of one unit depends on another"):
        MixingRates()
    with pytest.raises(ValueError, match=r"the units Short must have f give a tuple of 1 arrays \(n,\), not"):
        Short()
    with pytest.raises(ValueError, match="the units Failing have an f that fails: IndexError"):
        Failing()
    Sorted()


class Strange(AbstractUnits):
    """Sound, but for what a test puts in place of a part."""

    level: object = 1.0

    variables = ("r",)
    voltages = {"v": "all"}

    def f(self, s, v):
        return (0.5 * s[0] + v[0],)


STRANGE = {  # by what is said of it
    "mix: f of one unit": {"f": lambda self, s, v: (jnp.where(v[0] == v[0].max(), 1.0, 0.0) + 0.5 * s[0],)},
    "mix: g of one unit": {"g": lambda self, s: jnp.where(s[0].sum() > 100, 0.5, 1.0) * s[0]},
    "must have f be the same function whenever": {"f": lambda self, s, v: (random.random() * s[0] + v[0],)},
    r"must have f give numbers of the type that it is given, float\d\d, not int\d\d": {
        "f": lambda self, s, v: ((v[0] > 0).astype(int),)
    },
    "have an f that fails: TypeError": {"f": lambda self, s, v: (s[0] + jnp.ones(3) * v[0],)},
    r"must have rest give a tuple of 1 arrays \(n,\), not \[\(3,\)\] where n = 4": {"rest": lambda self, n: (jnp.zeros(3),)},
    r"must have biases give .*, not \[\(3,\)\] where n = 4": {"biases": lambda self, n, key: (jnp.zeros(3),)},
    r"must have first give a tuple of 1 arrays \(n,\), not an array": {"first": lambda self, n, key: jnp.zeros(n)},
    r"must have memory give an array of shape \(3,\) where n = 3, not \(2, 2\)": {
        "memory": lambda self, s, v: jnp.ones((2, 2))
    },
    r"must have gain give an array of shape \(3,\) where n = 3, not NoneType": {"gain": lambda self, s, v: None},
    "must have as variables a tuple of different names, .* not 'rate'": {"variables": "rate"},
    "must have as variables a tuple of different names": {"variables": ("r", "r")},
    "must have as voltages a table such as": {"voltages": ["v"]},
    "must have fields that are numbers and words, never arrays": {"level": eqx.field(default_factory=lambda: [1.0])},
}


@pytest.mark.parametrize("message", STRANGE)
def test_units_that_break_the_contract_are_found_when_they_are_made(message):
    strange = type("Broken", (Strange,), {"__annotations__": {"level": object}, "level": 1.0, **STRANGE[message]})
    with pytest.raises(ValueError, match=f"the units Broken {message}"):
        strange()
    Strange()


class NoNames(AbstractUnits):
    def f(self, s, v):
        return s


def test_units_name_their_parts():
    with pytest.raises(ValueError, match="the units NoNames must name their variables, at least one"):
        NoNames()
    with pytest.raises(ValueError, match='what Wrong\'s voltage v reads "everything" is unknown'):
        type("Wrong", (Mixing,), {"voltages": {"v": "everything"}, "f": lambda self, s, v: (v[0],)})()


W, OUT, B = jnp.zeros((4, 7)), jnp.zeros((2, 4)), jnp.zeros(2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: RNN(W, OUT, B, Leaky(), "softmax", jnp.ones((4, 6), bool)),
            r"mask must be of shape \(4, 7\), as W's, not \(4, 6\)",
        ),
        (lambda: RNN(W, OUT, B, Leaky(), "softmax", None, jnp.ones(4)), r"signs must be of shape \(7,\), as W's, not \(4,\)"),
        (
            lambda: RNN(W.at[1, 2].set(-0.5), OUT, B, Leaky(), "softmax", None, jnp.ones(7)),
            "from presynaptic signal 2 must be positive, and the initial weight in row 1 is -0.5",
        ),
        (lambda: Network(connections="ring"), 'connections "ring" is unknown; allowed: all, areas, stack'),
        (lambda: Network(W_rec="orthogonl"), 'Did you mean "orthogonal"'),
        (lambda: Network(4, areas=5, connections="areas"), "5 areas need at least as many units, and the network has 4"),
        (
            lambda: Network(areas=2),
            'the connections "areas" and "stack", and no others, need two areas or more; given were "all" and 2',
        ),
        (lambda: Network(connections="stack"), 'need two areas or more; given were "stack" and 1'),
        (lambda: Network(units=LRU(), density=0.3), "LRU units have no recurrent synapses: density cannot be 0.3"),
        (lambda: Network(units=LRU(), W_rec="identity"), "LRU units have no recurrent synapses: W_rec cannot be 'identity'"),
        (
            lambda: Network(units=LRU(), connections="diagonal"),
            'LRU units have no recurrent synapses: leave connections at "all"',
        ),
        (
            lambda: Network(connections="none", density=0.5),
            'the connections "none" leave no recurrent synapses: density cannot',
        ),
        (lambda: Network(connections="none", gain=2), 'connections "none" leave no recurrent synapses: gain cannot be 2'),
        (lambda: Network(connections="diagonal", self_synapses=False), "leave self_synapses true"),
        (
            lambda: Network(4, excitatory=0.1, activation="relu"),
            "a share of 0.1 of 4 units makes 0 of them excitatory: take more units, or a share of 0 or 1",
        ),
        (lambda: Network(density=0.0), r"the density must lie in \(0, 1\], not 0"),
        (
            lambda: Network(8, density=0.05),
            "a density of 0.05 leaves a unit none of its 8 recurrent synapses: take one above 0.0625, or more units",
        ),
        (
            lambda: Network(7, density=0.2, connections="areas", areas=3),
            "none of its 2 recurrent synapses: take one above 0.25",
        ),
        (
            lambda: RNN(W, OUT, B, Leaky(), "softmax", fan_out=2),
            "the largest number of other units onto which a unit has synapses; one unit has 3, so 2 is too few",
        ),
        (
            lambda: RNN(W, OUT, B, Leaky(), "softmax", jnp.ones((4, 7), bool).at[0, 1].set(False), fan_out=1),
            "one unit has 3, so 1 is too few",
        ),
        (lambda: Network(excitatory=1.5), r"the excitatory share must lie in \[0, 1\], not 1.5"),
        (
            lambda: Network(alpha=0.3, units=Leaky()),
            "alpha and activation are those of leaky units if no units are named; Leaky units have settings of",
        ),
        (lambda: Network(W_rec="nowhere.npy"), "the file nowhere.npy of W_rec cannot be read: No such file"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_arrays_of_the_users_own(tmp_path):
    W_rec, mask = np.arange(16.0).reshape(4, 4) / 16, np.ones((4, 7), int)
    mask[0, 2] = 0
    np.save(tmp_path / "w.npy", W_rec)
    np.savetxt(tmp_path / "mask.csv", mask, delimiter=",", fmt="%d")
    net = drawn(4, 2, W_rec=str(tmp_path / "w.npy"), connections=str(tmp_path / "mask.csv"))
    np.testing.assert_array_equal(net.W_rec, np.where(mask[:, :4], W_rec, 0))
    np.testing.assert_array_equal(net.mask, mask == 1)
    with pytest.raises(ValueError, match=r"W_rec must be of shape \(5, 5\), and the array in .*w.npy is of shape \(4, 4\)"):
        Network(5, W_rec=str(tmp_path / "w.npy"))
    with pytest.raises(
        ValueError, match=r"the mask must be of shape \(4, 6\), and the array in .*mask.csv is of shape \(4, 7\)"
    ):
        drawn(4, 1, connections=str(tmp_path / "mask.csv"))
    with pytest.raises(
        ValueError, match="all synapses from presynaptic signal 3 must be negative, and the initial weight in row 0"
    ):
        Network(4, W_rec=str(tmp_path / "w.npy"), excitatory=0.75, activation="relu")
    with pytest.raises(ValueError, match="a mask of your own says which synapses exist; leave density and self_synapses"):
        Network(4, connections=str(tmp_path / "mask.csv"), self_synapses=False)
    np.save(tmp_path / "large.npy", np.full((4, 4), 1e39))
    with pytest.raises(ValueError, match=r"W_rec must hold finite numbers of at most 3\.4e"):
        Network(4, W_rec=str(tmp_path / "large.npy"))
    (tmp_path / "empty.npy").touch()
    np.save(tmp_path / "complex.npy", 1j * W_rec)
    for name in ("empty", "complex"):
        with pytest.raises(ValueError, match=f"the file .*{name}.npy of W_rec holds no array of real numbers"):
            Network(4, W_rec=str(tmp_path / f"{name}.npy"))
    digest = Network(4, W_rec=str(tmp_path / "w.npy")).fingerprint()
    np.save(tmp_path / "w.npy", 2 * W_rec)
    with pytest.raises(ValueError, match="what the network's files hold has changed: its digest is "):
        Network(4, W_rec=str(tmp_path / "w.npy"), digest=digest)


def test_a_mask_of_ones_own_leaves_the_units_their_parameters(tmp_path):
    np.savetxt(tmp_path / "mask.csv", np.eye(4, 7), delimiter=",", fmt="%d")
    net = drawn(4, 2, units=UNITS["learned_leak"](), connections=str(tmp_path / "mask.csv"))
    np.testing.assert_array_equal(net.mask[:4], np.eye(4, 7))
    np.testing.assert_array_equal(net.mask[4:], np.arange(7) == [[6]] * 4)


def test_dales_law_with_rates_of_any_sign_is_warned_of():
    with pytest.warns(UserWarning, match="Dale's law requires rates that are never negative"):
        Network(excitatory=0.8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Network(excitatory=0.8, activation="relu")


def test_a_rule_for_leaky_units_says_so():
    net = eqx.filter_eval_shape(lambda: Network(4, units=Rest()).create(2, 2, "softmax", jax.random.key(0)))
    with pytest.raises(AttributeError, match="Rest units have no alpha: what reads it is for leaky units alone"):
        net.alpha  # noqa: B018


class Rest(Mixing):
    def f(self, s, v):
        return (v[0],)
