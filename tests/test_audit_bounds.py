"""The audit ends: long windows and loops over synapses, in bounded time and memory; a bound that is reached is told."""

import json
import subprocess
import sys

import pytest

SECONDS, BYTES = 60, 1e9
PROGRAM = """
import json, re, resource, time
import jax, jax.numpy as jnp
from recredit.audit import audit
from recredit.rule import AbstractRule
from recredit.rules import RULES
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
{source}
began = time.process_time()
try:
    cells = audit({rule}, measure={measure}).cells
    told = {{c: [cell.verdict, " ".join([cell.why, *(e.sentence for e in cell.evidence)])] for c, cell in cells.items()}}
except ValueError as error:
    told = str(error)
peak = 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])  # not its parent's
print(json.dumps([told, time.process_time() - began, peak]))
"""

WINDOW_IN_PYTHON = '''
class Own(AbstractRule):
    """A window of rates, each added to the gradient by a line of Python's."""
    def init(self, net, key):
        return jnp.zeros(({length}, net.n))
    def update(self, net, step, state, key):
        window = jnp.concatenate([step.r[None], state[:-1]])
        u = sum(0.9**k * window[k] for k in range({length}))
        return jnp.outer((step.error @ net.W_out) * u, step.r_hat), window
'''

WINDOW_IN_A_SCAN = '''
class Own(AbstractRule):
    """The same by a scan."""
    def init(self, net, key):
        return jnp.zeros(({length}, net.n))
    def update(self, net, step, state, key):
        window = jnp.concatenate([step.r[None], state[:-1]])
        u = jax.lax.scan(lambda u, r: (0.9 * u + r, None), jnp.zeros(net.n), window)[0]
        return jnp.outer((step.error @ net.W_out) * u, step.r_hat), window
'''

GRAD_OF_A_WINDOW = '''
class Own(AbstractRule):
    """Autodiff through the last steps."""
    def init(self, net, key):
        return jnp.zeros(({length}, net.W.shape[1]))
    def update(self, net, step, state, key):
        inputs = jnp.concatenate([step.r_hat[None], state[:-1]])
        def loss(W):
            r = inputs[-1][: net.n]
            for x in inputs[::-1]:
                r = jnp.tanh(W @ jnp.concatenate([r, x[net.n :]]))
            return jnp.sum((net.readout(r) - step.target) ** 2)
        return jax.grad(loss)(net.W), inputs
'''

LOOP_OVER_SYNAPSES = '''
class Own(AbstractRule):
    """RFLO, a synapse at a time."""
    def init(self, net, key):
        return jnp.zeros_like(net.W)
    def update(self, net, step, state, key):
        c, gain, B, G = step.error @ net.W_out, net.gain(step.v), state, jnp.zeros_like(net.W)
        for i in range(net.W.shape[0]):
            for j in range(net.W.shape[1]):
                B = B.at[i, j].set((1 - net.alpha) * B[i, j] + gain[i] * step.r_hat[j])
                G = G.at[i, j].set(c[i] * B[i, j])
        return G, B
'''


@pytest.fixture
def audited(tmp_path):
    """What is said of a rule, audited by a process of its own that the system ends after 30 seconds of the processor's."""

    def run(rule, source="", measure=False):
        file = tmp_path / "program.py"
        file.write_text(PROGRAM.format(source=source, rule=rule, measure=measure))
        ended = subprocess.run([sys.executable, str(file)], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr[-500:] or "it was still at work after 30 seconds"
        told, seconds, peak = json.loads(ended.stdout.splitlines()[-1])
        assert seconds < SECONDS
        assert peak < BYTES
        return told

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", ["e_bptt", "f_bptt", "p_bptt"])
@pytest.mark.parametrize("window", [1000, 100_000])
def test_a_long_window_is_bounded_and_a_sentence_says_so(audited, name, window):
    told = audited(f"RULES[{name!r}](window={window})")
    if not isinstance(told, str):
        verdict, told = told["locality-time"]
        assert verdict in ("fail", "judgement")
    assert window == 1000 or told.strip().endswith((".", "?"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "length"), [(WINDOW_IN_PYTHON, 1000), (WINDOW_IN_A_SCAN, 100_000)], ids=["1,000 in Python", "100,000 in a scan"]
)
def test_a_long_window_of_ones_own_is_bounded(audited, source, length):
    told = audited("Own()", source.format(length=length))
    if not isinstance(told, str):
        assert told["locality-time"][0] in ("fail", "judgement")


@pytest.mark.slow
@pytest.mark.parametrize("source", [WINDOW_IN_PYTHON, WINDOW_IN_A_SCAN, GRAD_OF_A_WINDOW], ids=["Python", "scan", "grad"])
def test_a_window_of_fifty_steps_is_judged(audited, source):
    assert audited("Own()", source.format(length=50))["locality-time"][0] == "fail"


@pytest.mark.slow
@pytest.mark.parametrize("window", [10, 50])
@pytest.mark.parametrize("name", ["e_bptt", "f_bptt", "p_bptt"])
def test_the_windows_that_people_use_are_judged(audited, name, window):
    assert audited(f"RULES[{name!r}](window={window})", measure=True)["locality-time"][0] == "fail"


@pytest.mark.slow
def test_a_loop_over_synapses_in_python_is_judged(audited):
    told = audited("Own()", LOOP_OVER_SYNAPSES, measure=True)
    assert {verdict for verdict, _ in told.values()} == {"pass"}


@pytest.mark.slow
def test_rtrl_in_blocks_gets_verdicts_like_any_rule(audited):
    told = audited("RULES['rtrl_block']()", measure=True)
    assert [told[criterion][0] for criterion in ("memory", "iv", "ii-stored")] == ["fail"] * 3
