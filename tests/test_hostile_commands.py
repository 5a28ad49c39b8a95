"""Command lines that nobody would think of: each is accepted, or refused in one sentence with nothing written."""

import contextlib
import functools
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recredit.cli.main import main
from recredit.runs.settings import Known
from recredit.studies import fig1


class Accepted(BaseException):
    """All was checked: the work would begin."""


words = str.split
# What a hostile user types, and a hurried one.
WORDS = ["", " ", "\n", "1\n2", "\t", "\0", "a b", "x" * 3000, "é", "🙂", "９", "\u202e"]
WORDS += words(
    "nan -inf -1 0 1 3 1e3 2.5 1e400 1e39 10000000000 0x10 1_000 true None [] [1] {} {a=1} 1979-05-27 a=b # -- - --set"
)
WORDS += words('[red] [/b] \' "x" $(ls) %s .. . * rflo add file file/b')
PATHS = words(
    """
    rule rule.name rule.window rule.window.x rule.feedback rule.jacobian rule.jacobian.rate rule.f_bptt.window
    rule.Mine.depth task task.t1 task.hold task.file task.head task.n_in task.p task.labels task.digest task.level network
    network.n network.alpha network.n.n network.activation optimizer optimizer.learning_rate optimizer.momentum
    optimizer.mu_dtype optimizer.W_in optimizer.clip optimizer.clip.max_delta optimizer.schedule optimizer.schedule.decay_steps
    observers observers.a observers.a.window steps bin streams seeds seeds_at_once out sources files nothing .
    rule. .rule é.é network.units network.units.name network.units.tau network.units.alpha"""
)
NAMES = words(
    """clip cosine_decay_schedule learned exact random through_weights adam sgd tanh softmax sampled data.npz own.py fading.py
    gru leaky 0.1"""
)
FITTING = words(
    """network.n=4 network.n=8 optimizer=adam optimizer.learning_rate=1e-3 task.hold=1 seeds=2 streams=2 rule.window=3
    rule.f_bptt.window=3 rule.jacobian=learned rule.depth=2 observers.a=rtrl window=3 task.file=data.npz"""
)
TOML = ["[]", "{}", '["rflo", "own.py:Mine"]', '{name = "f_bptt", window = 3}', '[{name = "rflo"}, "uoro"]', "{rate = 1}"]
TOML += ['{name = "recorded", file = "data.npz"}', "{n = 4}", '"""a\nb"""', '{a = "rtrl", b = "rtrl"}']
TOML += words('"rflo" "add" "adam" \'\' "[/b]" "own.py" 1e3 400 2 [[1]] 2024-01-01T00:00:00 nan true 0.5 999999999999 [ rflo')
FOLDERS = [*words("a/b file file/b ~/x own.py /proc/x /dev/null/x home data.npz"), "x" * 300]

RULE = """from recredit import AbstractRule
class Mine(AbstractRule):
    depth: int = 1
    def init(self, net, key):
        return None
    def update(self, net, step, state, key):
        return 0 * net.W, state
"""
TASK = """from recredit import AbstractTask, Sample
import jax.numpy as jnp
class Still(AbstractTask):
    level: float = 1.0
    n_in: int = 1
    n_out: int = 1
    head: str = "linear"
    def init(self, net, key):
        return None
    def chunk(self, state, start, length):
        return state, Sample(jnp.ones((length, self.n_in)), jnp.full((length, self.n_out), self.level))
"""
UNITS = """from recredit import AbstractUnits
class Fading(AbstractUnits):
    tau: float = 2.0
    variables = ("s",)
    voltages = {"v": "all"}
    def f(self, s, v):
        return (s[0] + (v[0] - s[0]) / self.tau,)
"""
FILES = {
    "still.py": TASK,
    "fading.py": UNITS,
    "own.py": RULE,
    "two.py": RULE + RULE.replace("Mine", "Second"),
    "needs.py": RULE.replace(" = 1", ""),
    "picky.py": RULE + "    def __check_init__(self):\n        1 / 0\n",
    "rflo.py": RULE.replace("Mine", "rflo"),
    "wrong.py": RULE.replace("0 * net.W", "1 / 0"),
    "transposed.py": RULE.replace("net.W", "net.W.T"),
    "broken.py": "class Mine(\n",
    "raises.py": "raise RuntimeError('two\\nlines')\n",
    "ends.py": "import sys\nsys.exit(3)\n",
    "empty.py": "",
}
RULES = [*words("rflo f_bptt dni uoro own.py two.py:Second own.py:Mine own.py:Mime own.py: missing.py : .py rflow"), *FILES]

word, paths = st.sampled_from(WORDS), st.sampled_from(PATHS)
assignment = st.builds("{}={}".format, paths, st.sampled_from(WORDS + NAMES + TOML)) | word
fitting = st.sampled_from(FITTING)
lines = st.builds("{} = {}\n".format, paths, st.sampled_from(TOML))
tables = st.sampled_from(["[rule]\n", "[[rule]]\n", "[task]\n", "[network]\n", "[optimizer]\n", "[observers]\n", "]\n", "\0"])
toml = st.just('rule = ["rflo", "own.py"]\ntask = "add"\nsteps = 4e2\n') | st.lists(lines | tables, max_size=5).map("".join)


def some(words, least=0, most=3):
    return st.lists(words, min_size=least, max_size=most)


# Of each option: values that fit, most of them, and values that do not.
count = st.sampled_from(["1", "40", "4e2", "1000"]), word
rule, folder_name = st.sampled_from(RULES), st.sampled_from(FOLDERS)
rules = some(st.sampled_from(RULES[:6]), 1, 2), some(rule | word)
seeds = {"--seeds": count, "--steps": count, "--seeds-at-once": count, "--out": (st.just("out"), folder_name | word)}
OPTIONS = {
    "train": seeds
    | {
        "--rule": rules,
        "--task": (st.sampled_from(["add", "mimic", "still.py"]), st.sampled_from(["recorded", "ad", *FILES]) | word),
        "--set": (some(fitting), some(assignment)),
        "--config": (st.just("run.toml"), st.sampled_from(["missing.toml", ".", "data.npz", "own.py", "file"]) | word),
        "--observe": rules,
        "--bin": count,
        "--streams": count,
    },
    "audit": {
        "": rules,
        "--with": (some(fitting), some(assignment)),
        "--format": (st.sampled_from(["table", "json", "html", "markdown", "latex"]), word),
        "--explain": (rule, word),
        "--slopes": (st.just("out/slopes.svg"), folder_name | word),
        "--repair": (st.just([]), word),
    },
    "fig1": seeds
    | {
        "--scale": (st.sampled_from(["quick", "paper"]), word),
        "--variant": (st.sampled_from(["written", "published"]), word),
    },
    "family": {"": rules, "--out": (st.just("out"), folder_name | word)},
    "rules": {"": (some(word, 0, 1), word)},
    "tasks": {"": (some(word, 0, 1), word)},
    "optimizers": {"": (some(word, 0, 1), word)},
    "": {"": (some(st.sampled_from(["train", "--help", "--version", "--rule", "--no-rule"])), word)},
}


@st.composite
def commands(draw):
    """A command, most of whose options fit."""
    name = draw(st.sampled_from(["train", "train", "train", "audit", "fig1", *OPTIONS]))
    words = [name] if name else []
    for option, (fits, hostile) in OPTIONS[name].items():
        if draw(st.booleans()) or option in ("--rule", "--task"):
            value = draw(hostile if draw(st.integers(0, 5)) == 0 else fits)
            words += [option] if option else []
            words += [value] if isinstance(value, str) else value
    return words


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with rule files and a recording, and no work done: what would begin it raises `Accepted`."""

    def accept(*_, **__):
        raise Accepted

    for place in (
        "cli.train.compute_runs",
        "cli.fig1.compute_runs",
        "cli.audit.audits",
        "cli.audit.repair",
        "cli.family.family",
    ):
        monkeypatch.setattr(f"recredit.{place}", accept)
    for place in ("main", "comparing"):
        monkeypatch.setattr(f"recredit.cli.{place}.local_executor", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(fig1, "runs", functools.cache(fig1.runs))  # twelve runs to check, the same ones again and again
    monkeypatch.setattr("recredit.runs.settings.Known", functools.cache(Known))  # and traced alike whatever their steps
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Path("home").mkdir()
    Path("file").touch()
    for name, text in FILES.items():
        Path(name).write_text(text)
    np.savez("data.npz", inputs=np.ones((1000, 2)), targets=np.full((1000, 2), 0.5))
    return tmp_path


def try_out(capfd, words, text):
    """Run one command, and see that it ends as it may; whether it was accepted."""
    Path("run.toml").write_text(text)
    before, began = sorted(Path().rglob("*")), time.process_time()
    try:
        main(list(words))
        code = 0
    except Accepted:
        code = None
    except SystemExit as ended:
        code = ended.code
    out, err = capfd.readouterr()
    assert time.process_time() - began < 10
    written = [path for path in sorted(Path().rglob("*")) if path not in before]
    if code is None:
        for path in sorted(written, key=lambda path: len(path.parts)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return True
    assert code in (0, 2)
    assert not written
    assert re.fullmatch(r"recredit: [^\n]+[.?)]\n" if code else "", err)
    assert bool(out) == (code == 0)
    return code == 0


@pytest.mark.slow
def test_any_command_is_accepted_or_refused_in_one_sentence(folder, capfd):
    accepted = []

    @settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=[*HealthCheck], database=None)
    @given(commands(), toml)
    def run(words, text):
        accepted.append(try_out(capfd, words, text))

    run()
    assert 0.05 < sum(accepted) / len(accepted) < 0.9  # both kinds are met
