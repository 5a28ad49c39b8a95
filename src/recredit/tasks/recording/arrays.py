"""The arrays of a recording, checked: each a table of finite numbers with one row per network step."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float


def table(what: str, given: Any) -> Float[np.ndarray, "T width"]:
    """The recorded numbers as a table (steps, width)."""
    try:
        array = np.ma.asarray(given)  # keeps a mask, even one of a row in a list
    except Exception as error:  # whatever an object of another library does
        raise ValueError(f"the recorded {what} are not an array of numbers: {' '.join(str(error).split())}") from None
    if array.dtype.kind not in "biuf" and not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"the recorded {what} are not an array of numbers: their type is {array.dtype}, and must be that of integers, real "
            "numbers or true and false."
        )
    rows = array[:, None] if array.ndim == 1 else array
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"the recorded {what} must be a table (steps, width) with at least one entry, not {array.shape}.")
    precision = jnp.finfo(jnp.zeros(()).dtype)
    with np.errstate(over="ignore"):
        numbers = np.ma.getdata(rows).astype(float)
    for wrong, why in {
        "are masked": np.ma.getmaskarray(rows),
        "hold {}": ~np.isfinite(numbers),
        f"hold {{}}, beyond the {float(precision.max):.2g} that {precision.dtype} holds,": np.abs(numbers) > precision.max,
    }.items():
        if why.any():
            row, column = np.argwhere(why)[0]
            raise ValueError(
                f"the recorded {what} {wrong.format(numbers[row, column])} at step {row}, column {column}; every entry must be "
                "a finite number."
            )
    return numbers


def column(what: str, given: Any, steps: int) -> Float[np.ndarray, " T"]:
    """A table of one column and so many steps."""
    numbers = table(what, given)
    check_lengths(steps, what, len(numbers))
    if numbers.shape[1] != 1:
        raise ValueError(f"the recorded {what} must be one column, not {numbers.shape[1]}.")
    return numbers[:, 0]


def check_lengths(steps: int, what: str, found: int) -> None:
    """Raise ValueError unless there is one of each at every step."""
    if steps != found:
        raise ValueError(f"{steps} recorded inputs but {found} {what}: one of each is needed.")


def trial_starts(given: Any, steps: int) -> Bool[np.ndarray, " T"]:
    """Whether each step is a trial's first: from 1 and 0 (true and false) that say so, or from the number of the step's trial,
    which changes where a trial starts."""
    numbers = column("starts", given, steps)
    if np.isin(numbers, (0, 1)).all():
        if not numbers[0]:
            raise ValueError(
                "the recorded starts must be 1 at step 0, where the first trial begins, not 0; if they are the trials' "
                "numbers, count from 1."
            )
        if steps > 1 and numbers.all():
            raise ValueError("the recorded starts are 1 at every step, so that no trial has a second step.")
        return numbers > 0
    return np.concatenate([[True], numbers[1:] != numbers[:-1]])


def loss_weights(given: Any, steps: int) -> Float[np.ndarray, " T"]:
    """What each step's loss is multiplied by."""
    numbers = column("weights", given, steps)
    if (numbers < 0).any():
        row = (numbers < 0).argmax()
        raise ValueError(f"the recorded weights must be at least 0, not {numbers[row]:g} as at step {row}.")
    check_some(numbers, "the recorded weights are 0 everywhere")
    return numbers


def check_some(weights: Float[np.ndarray, " T"], problem: str) -> None:
    """Raise ValueError if all weights are 0."""
    if not weights.any():
        raise ValueError(f"{problem}, so that there is nothing to learn from at any step.")


def distributions(labels: Float[np.ndarray, "T width"]) -> tuple[Float[np.ndarray, "T n_out"], Bool[np.ndarray, " T"]]:
    """Labels for a softmax head, and whether each step has one. One column holds the classes' numbers 0, 1, ...; several hold
    distributions, or only 0 where there is no label, which the uniform distribution replaces."""
    if labels.shape[1] == 1:
        labels = _one_hot(labels[:, 0])
    wrong = (labels < 0).any(1) | ~(np.isclose(labels.sum(1), 1) | ~labels.any(1))
    if wrong.any():
        raise ValueError(
            "a softmax head needs labels that are distributions, entries of at least 0 that sum to 1, or all 0 where there is "
            f"none; at step {wrong.argmax()} the sum is {labels[wrong.argmax()].sum():g} and the least entry "
            f"{labels[wrong.argmax()].min():g}."
        )
    given = labels.sum(1) > 0
    if not given.any():
        raise ValueError("the recorded targets are 0 everywhere, so that a softmax head has no label at any step.")
    return np.where(given[:, None], labels, 1 / labels.shape[1]), given


def _one_hot(numbers: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T classes"]:
    wrong = (numbers < 0) | (numbers != np.floor(numbers))
    if wrong.any():
        row = wrong.argmax()
        raise ValueError(
            f"a softmax head takes one column of targets for the classes' numbers, 0, 1, 2 and so on, not {numbers[row]:g} as "
            f"at step {row}; give weight 0 to steps without a label."
        )
    classes = np.unique(numbers)
    missing = np.flatnonzero(classes != np.arange(len(classes)))
    if missing.size or len(classes) < 2:
        raise ValueError(
            f"a softmax head takes one column of targets for the classes' numbers, two or more and each of them in use, but "
            f"class {missing[0] if missing.size else 1} is at no step, and the largest number is {classes[-1]:g}."
        )
    return np.eye(len(classes))[numbers.astype(int)]
