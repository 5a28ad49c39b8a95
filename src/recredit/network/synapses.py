"""Which synapses a network has, which signs they keep, and their initial weights."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from recredit.errors import LARGEST, check_choice, real_file, unreadable, user_path
from recredit.network.units import AbstractUnits

OWN = (".npy", ".csv", ".txt")


def is_own(name: str) -> bool:
    """Whether this is the file of an array of the user's own."""
    return Path(name).suffix in OWN


def check_name(what: str, name: Any, allowed: tuple[str, ...]) -> str:
    """One of the `allowed` names, or a file's. Raises ValueError for any other."""
    if not (isinstance(name, str) and is_own(name)):
        check_choice(what, name, (*allowed, "path/to/file.npy"))
    return name


def read_array(what: str, file: str, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """An array of the user's: NumPy's .npy, or a table of numbers as text (.csv, .txt).

    Raises ValueError for a file that is missing or unreadable, or an array of another shape or that is not finite.
    """
    try:
        path = real_file(user_path(file))
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
        else:
            array = np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2)
        if array.dtype.kind not in "biuf":  # of a complex number, half would be dropped
            raise TypeError
        array = array.astype(float)
    except OSError as error:
        raise unreadable(f"the file {file} of {what}", file, error) from None
    except (ValueError, TypeError, EOFError):
        raise ValueError(f"the file {file} of {what} holds no array of real numbers, as .npy or as a table in text.") from None
    if array.shape != shape:
        raise ValueError(f"{what} must be of shape {shape}, and the array in {file} is of shape {array.shape}.")
    if not (np.abs(array) <= LARGEST).all():
        raise ValueError(f"{what} must hold finite numbers of at most {LARGEST:.2g}, and the array in {file} does not.")
    return array


def recurrent(name: str, gain: float, n: int, key: PRNGKeyArray) -> Float[Array, "n n"]:
    """W_rec at first: `gain` times an orthogonal matrix, a Gaussian one of spectral radius 1, the identity; or a file's."""
    if is_own(name):
        return gain * jnp.asarray(read_array("W_rec", name, (n, n)), float)
    if name == "orthogonal":
        W = jnp.linalg.qr(jax.random.normal(key, (n, n)))[0]
    elif name == "gaussian":
        W = jax.random.normal(key, (n, n)) / jnp.sqrt(n)
    else:
        W = jnp.eye(n) if name == "identity" else jnp.zeros((n, n))
    return W if gain == 1 else gain * W


def possible(name: str, areas: int, self_synapses: bool, sizes: tuple[int, int]) -> Bool[np.ndarray, "n m"]:
    """Which synapses a voltage that reads everything may have, of `sizes` = n, n_in; or a file's.

    "areas": equal groups of units, each connected within itself; "stack": equal groups, the first of which reads the inputs and
    each further one the group before it, one step later; "diagonal": each unit with itself; "none": no recurrent synapses.
    """
    n, n_in = sizes
    if is_own(name):
        given = read_array("the mask", name, (n, n + n_in + 1))
        if not np.isin(given, (0, 1)).all():
            raise ValueError(f"the mask in {name} must hold only 0 and 1: which synapses exist.")
        return given == 1
    group = np.arange(n) * areas // n
    to, source = group[:, None], group[None]
    units = {
        "all": np.ones((n, n), bool),
        "areas": to == source,
        "stack": to == source + 1,
        "diagonal": np.eye(n, dtype=bool),
        "none": np.zeros((n, n), bool),
    }[name] & (self_synapses | ~np.eye(n, dtype=bool))
    inputs = np.broadcast_to(to == 0 if name == "stack" else np.full((n, 1), True), (n, n_in))
    return np.concatenate([units, inputs, np.ones((n, 1), bool)], axis=1)


def sent(possible: Bool[np.ndarray, "n m"], density: float) -> Int[np.ndarray, " n"]:
    """How many recurrent synapses leave each unit: the share `density` of those that may, rounded.

    Raises ValueError for a share that leaves a unit none of them.
    """
    may = possible[:, : len(possible)].sum(0)
    sent = np.rint(density * may).astype(int)
    if (few := may[(may > 0) & (sent == 0)]).size:
        raise ValueError(
            f"a density of {density:g} leaves a unit none of its {few.min()} recurrent synapses: take one above "
            f"{0.5 / few.min():g}, or more units."
        )
    return sent


def fan_out(possible: Bool[np.ndarray, "n m"], density: float) -> int:
    """The largest number of other units onto which a unit has recurrent synapses."""
    n = len(possible)
    others = (possible[:, :n] & ~np.eye(n, dtype=bool)).sum(0)
    return int(np.minimum(sent(possible, density), others).max())


def drawn(possible: Bool[np.ndarray, "n m"], density: float, key: PRNGKeyArray) -> Bool[Array, "n m"]:
    """As many of the possible recurrent synapses from a unit as `sent` says, drawn at random; all other possible synapses."""
    n = len(possible)
    order = jnp.where(possible[:, :n], jax.random.uniform(key, (n, n)), 1)  # the first ones exist
    place = jnp.argsort(jnp.argsort(order, axis=0), axis=0)
    return jnp.concatenate([place < sent(possible, density)[None], possible[:, n:]], axis=1)


def reached(units: AbstractUnits, n: int, n_in: int, mask: Bool[Array, "n m"] | None) -> Bool[Array, "P m"] | None:
    """The mask of all voltages: what each reads, as far as it exists; None: all.

    If a voltage reads only the bias, that is a parameter of the units, not a synapse.
    """
    if mask is None and set(units.voltages.values()) == {"all"}:
        return None
    from_units, from_inputs, bias = np.repeat(np.eye(3, dtype=bool), (n, n_in, 1), axis=1)
    reads = {"all": from_units | from_inputs, "inputs": from_inputs, "units": from_units, "bias": np.zeros_like(bias)}
    rows = jnp.stack([jnp.asarray(reads[what] | bias) for what in units.voltages.values()])
    every = jnp.ones((n, n + n_in + 1), bool) if mask is None else mask
    every = jnp.stack([every | (what == "bias") for what in units.voltages.values()])
    return (rows[:, None] & every).reshape(-1, n + n_in + 1)


def dale(excitatory: float, n: int, n_in: int) -> Float[np.ndarray, " m"]:
    """Signs by presynaptic signal: 1 for the first share of the units, -1 for the others, 0 (any) for inputs and bias."""
    count = round(excitatory * n)
    return np.repeat([1.0, -1.0, 0.0], [count, n - count, n_in + 1])


def balanced(W_rec: Float[Array, "n n"], signs: Float[np.ndarray, " n"]) -> Float[Array, "n n"]:
    """Weights with these signs, by sender, and the norm of W_rec; overall, inhibition is as strong as excitation."""
    share = max((signs > 0).mean(), 1e-9), max((signs < 0).mean(), 1e-9)
    strength = np.where(signs > 0, 1 / share[0], -1 / share[1]) if (signs > 0).any() and (signs < 0).any() else signs
    W = jnp.abs(W_rec) * jnp.asarray(strength, W_rec.dtype)
    return W * (jnp.linalg.norm(W_rec) / jnp.maximum(jnp.linalg.norm(W), 1e-30))


def check_signs(W: Any, signs: Any) -> None:
    """Raise ValueError for weights whose signs are not those of their presynaptic signals."""
    wrong = np.argwhere(np.asarray(W) * np.asarray(signs) < 0)
    if len(wrong):
        i, j = wrong[0]
        raise ValueError(
            f"all synapses from presynaptic signal {j} must be {'positive' if signs[j] > 0 else 'negative'}, and the initial "
            f"weight in row {i} is {np.asarray(W)[i, j]:g}: signs and initial weights disagree."
        )


def check_fan_out(fan_out: int, n: int, mask: Any) -> None:
    """Raise ValueError if a unit has recurrent synapses onto more than `fan_out` others."""
    others = n - 1
    if mask is not None:
        others = (np.asarray(mask)[:, :n].reshape(-1, n, n).any(0) & ~np.eye(n, dtype=bool)).sum(0).max()
    if others > fan_out:
        raise ValueError(
            f"the network's fan_out is the largest number of other units onto which a unit has synapses; one unit has "
            f"{others}, so {fan_out} is too few."
        )
