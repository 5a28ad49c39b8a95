"""recredit: temporal credit assignment in recurrent networks.

Every online learning rule of Marschall, Cho & Savin 2019 under one contract, a training loop, the paper's Fig. 1, and an audit
that tells which of a rule's operations a neural circuit could perform.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recredit.audit import audit as audit
    from recredit.audit.verdicts import Audit as Audit
    from recredit.blocks.feedback import FEEDBACKS as FEEDBACKS
    from recredit.blocks.feedback import AbstractFeedback as AbstractFeedback
    from recredit.blocks.feedback import ExactFeedback as ExactFeedback
    from recredit.blocks.feedback import RandomFeedback as RandomFeedback
    from recredit.blocks.jacobian import JACOBIANS as JACOBIANS
    from recredit.blocks.jacobian import AbstractJacobian as AbstractJacobian
    from recredit.blocks.jacobian import ExactJacobian as ExactJacobian
    from recredit.blocks.jacobian import LearnedJacobian as LearnedJacobian
    from recredit.blocks.jacobian import ThroughWeights as ThroughWeights
    from recredit.network import Network as Network
    from recredit.network.leaky import LeakyRNN as LeakyRNN
    from recredit.rule import AbstractRule as AbstractRule
    from recredit.rule import Clock as Clock
    from recredit.rule import Step as Step
    from recredit.rules import RULES as RULES
    from recredit.tasks import TASKS as TASKS
    from recredit.tasks import AbstractTask as AbstractTask
    from recredit.training.loop import train as train
    from recredit.training.step import Trainer as Trainer

_HOMES = {
    "audit.verdicts": ("Audit",),
    "blocks.feedback": ("FEEDBACKS", "AbstractFeedback", "ExactFeedback", "RandomFeedback"),
    "blocks.jacobian": ("JACOBIANS", "AbstractJacobian", "ExactJacobian", "LearnedJacobian", "ThroughWeights"),
    "network": ("LeakyRNN", "Network"),
    "rule": ("AbstractRule", "Clock", "Step"),
    "rules": ("RULES",),
    "tasks": ("TASKS", "AbstractTask"),
    "training.loop": ("train",),
    "training.step": ("Trainer",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # Imported on first use: JAX takes a second to import, and `recredit --help` does without it.
    if name == "audit":  # the package, which can be called
        return importlib.import_module("recredit.audit")
    if name not in _HOME:
        raise AttributeError(f"module 'recredit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"recredit.{_HOME[name]}"), name)
