"""What surrounds a computation: foreign settings, closed pipes, signals, full disks. It goes on, or says one sentence."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

import recredit
from recredit.cli.main import main
from recredit.cli.process import _refusal, check_xla_flags, end_on_signals
from recredit.runs import processor
from recredit.runs.environment import environment
from recredit.runs.failures import explanation
from recredit.runs.files import read_dataset, writable_folder
from recredit.runs.identity import Cell
from recredit.runs.local import Worker
from recredit.runs.plan import Job
from recredit.runs.running import running
from recredit.runs.settings import Run
from recredit.runs.work import work

MAIN = "from recredit.cli.main import main; main()"
TINY = ("train", "--rule", "rflo", "--task", "add", "--steps", "200", "--seeds", "1", "--set", "network.n=4")
LONG = ("train", "--rule", "rtrl", "--task", "add", "--steps", "2e9", "--bin", "2e9", "--seeds", "1", "--out", "out")
INTERRUPTED = "\nInterrupted. Finished parts are kept; run the same command to go on from there.\n"
posix = pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are followed in /proc")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Every test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def started(*arguments, first="pass", **environment):
    """`recredit` in a process of its own, after a Python statement."""
    command = [sys.executable, "-c", f"{first}\n{MAIN}", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=os.environ | environment, encoding="utf-8", **pipes)


def ended(process):
    """Its exit code, and what it printed."""
    out, err = process.communicate()
    return process.returncode, out, err


# Signals and workers


def worker_of(process):
    """The process id of the worker that a process has started."""
    while True:
        for tasks in Path(f"/proc/{process.pid}/task").glob("*/children"):
            if children := tasks.read_text().split():
                return int(children[0])
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def is_gone(pid):
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()  # dead, though nobody has asked how it ended
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize(("n", "steps"), [(64, 150), pytest.param(256, 30, marks=pytest.mark.slow)])
def test_a_worker_ends_with_its_input_in_the_middle_of_a_compiled_call(monkeypatch, n, steps):
    table = {"rule": "rtrl", "task": "add", "steps": 300 * steps, "bin": 100 * steps, "network": {"n": n}}
    run = Run.create(table)
    job = Job(writable_folder(Path.cwd()), (Cell(run, 0),), ("add: rtrl",), 1.0)
    worker = Worker("recredit.runs.work", environment())
    worker.greet()
    worker.calls.send((work, (job,)))
    while not running(Path()):
        time.sleep(0.02)
    time.sleep(1)  # so that it traces, compiles or computes, all of which take longer
    worker.calls.close()
    with pytest.raises(BrokenExecutor, match="exit status 0"):
        worker.hear()
    assert not list(Path("cells").iterdir())


@posix
@pytest.mark.parametrize(
    "name",
    [
        "SIGKILL",
        "SIGTERM",
        "SIGQUIT",
        pytest.param("SIGHUP", marks=pytest.mark.slow),
        pytest.param("SIGINT", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_computation_of_hours_with_one_sentence_and_leaves_no_process(name):
    process = started(*LONG)
    worker = worker_of(process)
    process.send_signal(getattr(signal, name))
    status, _, err = ended(process)
    if name == "SIGKILL":
        assert (status, err) == (-signal.SIGKILL, "")
    else:
        assert (status, err) == (128 + getattr(signal, name), INTERRUPTED)
    for _ in range(3000):  # its work would take years
        if is_gone(worker):
            return
        time.sleep(0.02)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker goes on")


def test_a_signal_that_comes_when_no_exception_can_be_raised_is_not_lost():
    first = """
import gc, signal, sys, threading
sys.setswitchinterval(100)
def collect(phase, info):
    gc.callbacks.clear()
    signal.raise_signal(signal.SIGTERM)
class End:
    def find_spec(self, name, *_):
        if name == "recredit.cli.catalogue":
            gc.callbacks.append(collect)
            gc.collect()
            threading.Event().wait()
sys.meta_path.insert(0, End())"""
    assert ended(started("rules", first=first)) == (128 + signal.SIGTERM, "", INTERRUPTED)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="of terminals that hang up")
def test_what_nohup_ignores_stays_ignored(monkeypatch):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_on_signals()
    after = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert after[signal.SIGHUP] == signal.SIG_IGN
    assert callable(after[signal.SIGTERM])


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_worker_that_is_killed_is_told_of_in_a_sentence(name):
    worker = Worker("recredit.runs.work", environment())
    if name == "SIGTERM":
        worker.greet()  # or else it ends by it as any process does
    worker.process.send_signal(getattr(signal, name))
    with pytest.raises(BrokenExecutor, match=f"^a worker process was ended by {name}.*") as told:
        worker.hear()
    assert ("lower network.n" in str(told.value)) == (name == "SIGKILL")


def worker_fails(monkeypatch, **variables):
    """The sentence of a worker that cannot begin, in this environment; it prints nothing else."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    worker = Worker("recredit.runs.work", environment())
    with pytest.raises((ValueError, BrokenExecutor)) as told:
        worker.greet()
    worker.end()
    assert not worker.printed
    return str(told.value)


@pytest.mark.parametrize("name", ["cuda", pytest.param("bogus", marks=pytest.mark.slow)])
def test_a_platform_that_jax_does_not_have_is_named(monkeypatch, name):
    assert f"JAX has no device for JAX_PLATFORMS={name}; unset it" in worker_fails(monkeypatch, JAX_PLATFORMS=name)


COMMANDS = [["rules"], ["tasks"], ["audit", "rflo"], ["fig1", "--steps", "400"], [*TINY]]


@pytest.mark.parametrize("arguments", COMMANDS, ids=str)
def test_flags_that_xla_does_not_know_are_named_by_every_command(arguments, monkeypatch, capfd):
    monkeypatch.setenv("XLA_FLAGS", "--bogus_flag")
    with pytest.raises(SystemExit) as end:
        main(arguments)
    told = "recredit: XLA refuses XLA_FLAGS=--bogus_flag; correct or unset it (Unknown flag in XLA_FLAGS: --bogus_flag).\n"
    assert (end.value.code, *capfd.readouterr()) == (2, "", told)
    assert not list(Path().iterdir())


def test_flags_are_tried_out_only_if_there_are_some_and_known_ones_pass(monkeypatch):
    monkeypatch.setattr("recredit.cli.process._refusal", lambda flags: pytest.fail("tried out"))
    monkeypatch.setenv("XLA_FLAGS", " ")
    check_xla_flags()
    monkeypatch.undo()
    assert not _refusal("--xla_cpu_multi_thread_eigen=false")
    assert "Couldn't interpret value maybe" in _refusal("--xla_cpu_multi_thread_eigen=maybe")


BROKEN = {
    "import warnings; warnings.warn('!')\nraise ImportError('libcuda is broken')": "cannot be imported: libcuda is broken.",
    "import os; os._exit(3)": "a worker process ended by itself (exit status 3).",
    "import os, sys; print('no!', file=sys.stderr, flush=True); os._exit(3)": "ended by itself (exit status 3): no!.",
    "raise SystemExit(5)": "SystemExit: 5",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_jax_is_told_of_in_a_sentence(monkeypatch, text):
    Path("jax.py").write_text(text)
    here = os.pathsep.join([str(Path.cwd()), str(Path(recredit.__file__).parent.parent)])
    assert BROKEN[text] in worker_fails(monkeypatch, PYTHONPATH=here)


def test_modules_of_the_current_folder_are_none_of_a_workers(monkeypatch):
    Path("jax.py").write_text("raise ImportError")
    worker = Worker("recredit.runs.work", environment())
    assert worker.greet() == "cpu"
    worker.end()
    assert worker.process.returncode == 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are not pinned here")
def test_a_thread_that_has_just_ended_does_not_end_its_worker(monkeypatch):
    (core, *_), threads = os.sched_getaffinity(0), os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*threads(path), "4194305"])  # no process has such a number
    monkeypatch.setattr(processor, "_free_core", lambda: core)
    pinned = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, _: pinned.append(os.sched_getaffinity(thread)))
    assert processor.take_core() == "cpu"
    assert pinned


def test_too_many_open_files_are_told_of_in_a_sentence():
    assert explanation(OSError(errno.EMFILE, os.strerror(errno.EMFILE))).startswith("too many files are open at once; raise")


OUT_OF_MEMORY = "RESOURCE_EXHAUSTED: Out of memory allocating 108108000000 bytes."


@pytest.mark.parametrize("error", [RuntimeError(OUT_OF_MEMORY), MemoryError()], ids=str)
def test_of_too_little_memory_the_sentence_says_what_to_lower(error):
    told = explanation(error)
    assert told.startswith("there is not enough memory")
    assert ("(108 GB at once)" in told) == (str(error) != "")
    assert all(what in told for what in ("network.n", "window", "block", "--streams", "--seeds-at-once"))


# Output


def test_a_reader_that_goes_loses_nothing():
    process = started(*TINY)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0
    assert read_dataset("results/add-rflo/run.nc").loss.notnull().all()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="of shells that can close streams")
def test_streams_that_are_closed_from_the_start_are_no_failure():
    command = [sys.executable, "-c", MAIN, "tasks"]
    assert subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh", *command]).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="of systems with a full disk at hand")
def test_output_that_cannot_be_written_is_told_of():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", MAIN, "tasks"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == f"recredit: standard output cannot be written: {os.strerror(errno.ENOSPC)}.\n"


FOREIGN = {
    "PYTHONIOENCODING": "ascii",
    "LC_ALL": "C",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # as a notebook's kernel leaves it
    "MPLCONFIGDIR": "/proc/none",
}


def test_foreign_settings_and_markup_in_names_change_nothing_and_warn_of_nothing(tmp_path):
    diverging = ("optimizer.learning_rate=1e30", "--out", "~/a[/b]c::d")
    status, out, err = ended(started(*TINY, *diverging, HOME=str(tmp_path), **FOREIGN))
    assert (status, err) == (0, "")
    folder = tmp_path / "a[" / "b]c::d"
    assert out.endswith(f"Wrote {folder / 'loss.png'} and {folder / 'run.nc'}.\n")
    assert "± s.e.m." in out
    assert {path.name for path in folder.iterdir()} == {"cells", "lock", "loss.png", "progress.json", "run.nc", "states"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--help"],
        ["train", "--rule", "ü"],
        *(pytest.param(words.split(), marks=pytest.mark.slow) for words in ("rules rflo", "tasks add", "optimizers adam")),
    ],
    ids=str,
)
def test_every_command_prints_utf_8_where_the_locale_has_ascii_only(arguments):
    status, out, err = ended(started(*arguments, PYTHONIOENCODING="ascii"))
    assert status == (2 if "ü" in arguments else 0)
    assert not (out + err).isascii()


@pytest.mark.slow
def test_warnings_of_libraries_are_not_shown():
    first = """
import numpy, sys
class Overflow:
    def find_spec(self, name, *_):
        if name == "recredit.cli.catalogue":
            numpy.array([1e300]).astype("float32")
sys.meta_path.insert(0, Overflow())"""
    status, _, err = ended(started("tasks", first=first))
    assert (status, err) == (0, "")


def test_what_a_command_does_not_need_is_not_imported():
    last = "import atexit, sys; atexit.register(lambda: print('matplotlib' in sys.modules))"
    status, out, err = ended(started("train", "--rule", "rflow", "--task", "add", first=last))
    assert (status, out) == (2, "False\n")
    assert 'Did you mean "rflo"?' in err
