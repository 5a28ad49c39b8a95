"""The paper's rules written again in other words, under names that say nothing."""

from respelled import exact, learned, stochastic
from respelled.pairs import PAIRS

__all__ = ["PAIRS", "exact", "learned", "stochastic"]
