"""Which rows of a recording are played, and in which order."""

from typing import Annotated, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from recredit.errors import check_choice, check_count, check_range

Part = Literal["all", "train", "test"]
Share = Annotated[float, "a number between 0 and 1"]
SplitSeed = Annotated[int, "a whole number of at least 0"]


def rows_of_part(
    start: Bool[np.ndarray, " T"] | None, steps: int, part: Part, test: float, split_seed: int
) -> Bool[np.ndarray, " T"]:
    """Whether each row belongs to a part of the recording.

    The share `test` of the trials is drawn for testing; without trials (None) it is the last share of the rows. Raises
    ValueError if a part would be empty.
    """
    check_choice("part", part, get_args(Part))
    check_range("the share of trials for testing", test, above=0, most=1)
    check_count("split_seed", split_seed, least=0)
    if part == "all":
        return np.ones(steps, bool)
    trial = np.arange(steps) if start is None else start.cumsum() - 1
    count = int(trial[-1]) + 1
    apart = round(test * count)
    if not 0 < apart < count:
        raise ValueError(
            f"a share of {test:g} of {count:,} {'steps' if start is None else 'trials'} for testing leaves "
            f"{apart:,} for testing and {count - apart:,} for training; each needs at least one."
        )
    tested = np.arange(count) >= count - apart
    if start is not None:
        tested = np.random.RandomState(split_seed).permutation(tested)  # the one generator that NumPy keeps as it is
    return tested[trial] == (part == "test")


def shuffled_rows(
    key: PRNGKeyArray,
    begins: Int[Array, " trials"],
    lengths: Int[Array, " trials"],
    steps: int,
    first: Int[Array, ""],
    share: int,
    start: Int[Array, ""],
    length: int,
) -> Int[Array, " length"]:
    """The rows that a stream plays at its steps start ... start + length - 1, trials in a new order in each pass.

    In each pass of `steps` rows the stream plays `share`, from the beginning of the trial in progress at place `first`. The
    order in a pass depends only on `key` and the pass.
    """
    pass_now = start // share
    passes = (length - 1) // share + 2  # that these steps may touch, here laid end to end
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(pass_now + jnp.arange(passes))
    order = jax.vmap(lambda key: jax.random.permutation(key, len(begins)))(keys).ravel()
    ends = jnp.cumsum(lengths[order])

    def begin_and_trial(place):
        i = jnp.searchsorted(ends, place, side="right")
        return ends[i] - lengths[order[i]], order[i]

    entry, _ = begin_and_trial(jnp.arange(passes) * steps + first)
    step = start + jnp.arange(length) - pass_now * share
    place = entry[step // share] + step % share
    begin, trial = begin_and_trial(place)
    return begins[trial] + place - begin
