"""Memory does not grow with the number of steps."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from recredit import RULES, TASKS, train
peaks = []
watch = lambda done: peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
train(RULES["rflo"](), TASKS["add"](), seeds=2, steps=1_000_000, bin=10_000, progress=watch)
print(peaks[1], peaks[-1])
"""


@pytest.mark.slow
def test_a_million_steps_need_no_more_memory_than_twenty_thousand():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    early, late = map(int, run.stdout.split())  # kilobytes
    assert late < early + 4_000  # each step's loss alone, kept for both seeds, would be 8 MB; inputs and labels, 32 MB
