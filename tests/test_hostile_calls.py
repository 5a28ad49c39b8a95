"""Whatever Python calls of the public face are given, they work or are refused in one sentence: tests/hostile_calls.py."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("calls", ["25", pytest.param("300", marks=pytest.mark.slow), "each setting"])
def test_calls_work_or_are_refused_in_one_sentence(calls):
    script = Path(__file__).parent / "hostile_calls.py"
    done = subprocess.run([sys.executable, script, calls], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
