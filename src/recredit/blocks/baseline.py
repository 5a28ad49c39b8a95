"""How much worse than usual a step went: the one number that a global modulator can carry."""

from jaxtyping import Array, Float

from recredit.rule import Step


def above_baseline(step: Step, L_bar: Float[Array, ""], rate: float) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(L - L_bar) times the step's weight, and L_bar after the step, a running mean of the loss L over scored steps."""
    assert step.loss is not None
    assert step.weight is not None
    m = step.loss - step.weight * L_bar
    return m, L_bar + rate * m
