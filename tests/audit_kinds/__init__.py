"""Rules for the kinds of fault that the audit had: each kind in many spellings, and twins that look alike and are not."""

from audit_kinds import (
    anchors,
    averages,
    carried,
    copies,
    delays,
    followers,
    hidden,
    jumps,
    matrices,
    neighbours,
    noise,
    perturbed,
    populations,
    settling,
    shaken,
    starts,
    stored,
    strengths,
    unknown,
    winners,
)
from audit_kinds.case import CASES, Case

FILES = (
    anchors,
    averages,
    carried,
    copies,
    delays,
    followers,
    hidden,
    jumps,
    matrices,
    neighbours,
    noise,
    perturbed,
    populations,
    settling,
    shaken,
    starts,
    stored,
    strengths,
    unknown,
    winners,
)

__all__ = ["CASES", "FILES", "Case"]
