"""A rule is added by three edits, its file, its import and its entry: the commands and the common tests take it from there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RULE = '''"""Hebb: what fires together; a rule that a test adds.

    B_ij^t = decay B_ij^{t-1} + alpha D_i^t r_hat_j^t                                                           (1)
    G_ij^t = c_bar_i^t B_ij^t                                                                                   (2)
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.network import RNN
from recredit.network.unitwise import row_times_trace, times_signals
from recredit.rule import AbstractRule, Step


class Hebb(AbstractRule):
    """A trace of a fixed decay, gated by the credit of each unit."""

    decay: float = 0.5
    """What the trace keeps of itself at each step."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; through W_out, the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> Any:
        return jnp.zeros(net.own_shape, net.W.dtype), self.feedback.init(net, key)

    def update(self, net: RNN, step: Step, state: Any, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], Any]:
        B = self.decay * state[0] + times_signals(net.gain(step.at(net)), step.r_hat)  # (1)
        return row_times_trace(self.feedback(net, step, state[1]), B), (B, self.feedback.learn(net, step, state[1], key))  # (2)

    def restart(self, net: RNN, state: Any) -> tuple[Float[Array, "P m"], Any]:
        return jnp.zeros_like(net.W), (jnp.zeros_like(state[0]), state[1])
'''
COMMANDS = """
from recredit.cli.main import main
from recredit.studies.family import member

for command in "rules", "train --rule hebb --task add --steps 20 --seeds 1 --set network.n=4 --out out", "audit hebb":
    try:
        main(command.split())
    except SystemExit as ended:
        assert not ended.code
found = member("hebb")
print(found.depends.facing, found.bias.verdict, found.units["leaky"])
"""


@pytest.mark.slow
def test_a_rule_is_three_edits(tmp_path):
    for folder in ("src", "tests", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    rules = tmp_path / "src" / "recredit" / "rules"
    (rules / "hebb.py").write_text(RULE)
    entries = (rules / "__init__.py").read_text()
    entries = entries.replace("from recredit.rules.hops", "from recredit.rules.hebb import Hebb\nfrom recredit.rules.hops")
    (rules / "__init__.py").write_text(entries.replace('    "hops": Hops,\n', '    "hops": Hops,\n    "hebb": Hebb,\n'))

    def said(*command):
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "COLUMNS": "300"}
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    told = said("-c", COMMANDS)
    assert "A trace of a fixed decay, gated by the credit of each unit." in told
    assert "hebb" in told.partition("Mean loss over")[2]
    assert "What each learning rule asks of a neural circuit" in told
    assert told.splitlines()[-1] == "past-facing biased None"
    tests = [f"tests/test_{name}.py" for name in ("contract", "counts", "family")]
    options = "-p", "no:cacheprovider", "-k", "hebb or kept or which_units"
    assert " passed" in said("-m", "pytest", *options, *tests)
