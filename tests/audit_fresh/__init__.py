"""Rules by three authors who had not seen the audit, with the verdicts that they expected of it."""

from audit_fresh import (
    copies,
    critics,
    dendrites,
    episodes,
    eprop,
    feedback,
    hebb,
    influence,
    memories,
    noise,
    optimizers,
    predictions,
    synapses,
    time,
    traces,
)
from audit_fresh.case import CASES, Case

FILES = (
    copies,
    critics,
    dendrites,
    episodes,
    eprop,
    feedback,
    hebb,
    influence,
    memories,
    noise,
    optimizers,
    predictions,
    synapses,
    time,
    traces,
)

__all__ = ["CASES", "FILES", "Case"]
