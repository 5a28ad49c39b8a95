"""Small rules, each with what the audit must find in it. They share nothing with the audit but the contract of a rule."""

from audit_rules import breaks_noise_and_copies, breaks_signals, breaks_synapses, breaks_time, sound, sound_more
from audit_rules.case import CASES, Case

FILES = (sound, sound_more, breaks_time, breaks_synapses, breaks_signals, breaks_noise_and_copies)

__all__ = ["CASES", "FILES", "Case"]
