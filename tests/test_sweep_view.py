"""What a user sees of a sweep: while it runs, from another terminal, and before it runs."""

import io
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import recredit.runs.running
from recredit.cli import watch
from recredit.cli.main import main
from recredit.report import progress
from recredit.report.progress import Live, drawn, in_words
from recredit.report.sweep_plan import plan as in_plan
from recredit.runs import controller, standing
from recredit.runs.cluster import PBS, Local, Slurm
from recredit.runs.files import writable_folder, write_whole
from recredit.runs.identity import Cell
from recredit.runs.plan import Job
from recredit.runs.record import sealed
from recredit.runs.running import Report, clear, progress_of, running
from recredit.runs.settings import Run
from recredit.runs.standing import computes, published, read_told, tell_end
from recredit.runs.sweep import read_sweep
from recredit.studies.outlook import PROGRAM, outlook

RUN = Run.create({"rule": "rflo", "task": "add", "steps": 200, "network": {"n": 4}})
SWEEP = """
rule = "rflo"
task = "add"
steps = 200
seeds = 3
network.n = 4
[grid]
optimizer.learning_rate = [1e-4, 1e-3, 1e-2]
[select]
axis = "optimizer.learning_rate"
seeds = 2
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return writable_folder(tmp_path / "out")


@pytest.fixture
def clock(monkeypatch):
    """The seconds that a view sees, [0] of a list."""
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


def job(folder, cells=4, label="a run", seconds=1.0, first=0):
    """A job of some seeds of one run."""
    return Job(folder, tuple(Cell(RUN, first + k) for k in range(cells)), (label,) * cells, seconds)


def written(folder, cell, seconds=1.0, diverged=False):
    """A finished cell's file, as far as its record goes."""
    record = {"identity": cell.identity(), "seconds": seconds, "diverged": diverged, "final_loss": None if diverged else 1.0}
    write_whole(folder / "cells" / cell.file, sealed(b"", record))


def terminal(width=80, height=24):
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height)


def shown(view, width=80):
    """The lines of a picture."""
    console = Console(file=io.StringIO(), width=width)
    console.print(drawn(view.standing(), width))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def lines(console):
    return console.file.getvalue().splitlines()


# While it runs


def test_many_runs_have_one_bar_with_all_that_counts(folder, clock):
    jobs = [job(folder, 40, f"run {k}", seconds=1.0 + (k == 0)) for k in range(30)]
    view = Live(terminal())
    view.expect({each: 40 * (k != 29) for k, each in enumerate(jobs)}, {jobs[29]: 2})
    assert shown(view)[0] == "40 of 1,200 cells, 2 diverged"
    clock[0] = 50.0  # they compile
    view.advance(jobs[0], 0)
    assert shown(view)[1].endswith("3%  -:--:--")
    clock[0] = 54.0
    view.advance(jobs[0], jobs[0].steps // 2)
    view.end(jobs[1], 3)
    view.failed(jobs[2], "It cannot be.")
    first, second = shown(view)
    assert first == "80 of 1,200 cells, 5 diverged, 40 failed, 40 running"
    assert re.fullmatch(r"[━╸╺ ]{28}  10% 15 cells/s, 3,000 steps/s 0:00:54", second)  # 3 of 30 s at first 1, 27 at 2 in 4
    assert in_words(view.standing()) == f"{first}; 15 cells/s, 3,000 steps/s, 0:00:54 left"
    for each in (jobs[0], *jobs[3:29]):
        view.end(each, 0)
    assert shown(view)[0] == "1,160 of 1,200 cells, 5 diverged, 40 failed"
    assert "100%" in shown(view)[1]


@pytest.mark.parametrize(("seconds", "told"), [(0.1, "10 cells/s"), (4, "15 cells/min"), (90, "40 cells/h"), (1e5, "0.036 c")])
def test_slow_cells_are_counted_over_a_time_that_fits(folder, clock, seconds, told):
    each = job(folder, 2)
    view = Live(terminal())
    view.expect({each: 2}, {})
    view.standing()
    clock[0] = seconds
    view.advance(each, each.steps // 2)
    assert f"; {told}" in in_words(view.standing())


def test_few_runs_have_a_bar_each_that_grows_by_steps_and_one_of_all_that_grows_by_what_each_costs(folder, clock):
    cheap, dear, again = job(folder, 1, "cheap"), job(folder, 1, "dear", 9.0), job(folder, 1, "cheap")
    view = Live(terminal())
    view.expect(dict.fromkeys((cheap, dear, again), 1), {})
    view.standing()
    clock[0] = 2.0
    view.end(cheap, 0)
    assert [re.sub(r"[━╸╺ ]+", " ", line) for line in shown(view)] == [
        "cheap 50% 100 steps/s 0:00:02",
        "dear 0% -:--:--",
        "all 9% 0:00:20",
    ]
    view.end(again, 0)
    assert "100% 200 steps/s" in shown(view)[0]
    clock[0] = 50.0
    view.advance(dear, 100)
    assert "100% 200 steps/s" in shown(view)[0]  # as it was when it ended
    assert "dear" in shown(view)[1]
    assert " 50%" in shown(view)[1]
    assert " 59%" in shown(view)[2]  # 6.5 of 11


def test_long_names_are_cut_and_nothing_else(folder, clock):
    jobs = [job(folder, 1, f"{'x' * length} learning_rate=0.0001") for length in (9, 60)]
    view = Live(terminal())
    view.expect(dict.fromkeys(jobs, 1), {})
    view.standing()
    clock[0] = 0.001
    for each in jobs:
        view.advance(each, 150)
    fine, cut, whole = shown(view)
    assert all(line.endswith("0:00:01") and " 75%" in line for line in (fine, cut, whole))
    assert "150,000 steps/s" in cut
    assert "… " in cut
    assert fine.startswith("xxxxxxxxx learning_rate=0.0001 ")


@pytest.mark.parametrize(("height", "bars"), [(24, True), (14, True), (13, False)])
def test_bars_never_fill_a_terminal(folder, height, bars):
    view = Live(terminal(height=height))
    view.expect({job(folder, 1, f"run {k}"): 1 for k in range(10)}, {})
    assert (len(view.standing().rows) == 10) is bars
    assert len(shown(view)) < height


def test_without_a_terminal_each_of_few_runs_is_told_once_and_many_by_tenths(folder, clock):
    console = Console(file=io.StringIO(), width=80)
    few, found = [job(folder, 1, name) for name in ("a", "b", "a")], job(folder, 1, "found")
    view = Live(console)
    view.expect(dict.fromkeys(few, 1) | {found: 0}, {})
    for each in few:
        view.advance(each, 10)
    clock[0] = 3.0
    for each in few:
        view.end(each, 0)
    assert lines(console) == ["b: done, 3 s", "a: done, 3 s"]

    console.file = io.StringIO()
    many = [job(folder, 1, f"run {k}") for k in range(1000)]
    view = Live(console)
    view.expect(dict.fromkeys(many, 1), {})
    for each in many:
        clock[0] += 1
        view.end(each, int(each is many[0]))
    assert len(lines(console)) == 10
    assert lines(console)[0] == "100 of 1,000 cells, 1 diverged; 1 cells/s, 200 steps/s, 0:15:00 left"


def test_a_failure_is_told_at_once_but_only_once_and_not_if_it_ends_all(folder):
    console = Console(file=io.StringIO(), width=80)
    view = Live(console)
    jobs = [job(folder, 2, f"run {k}") for k in range(3)]
    view.expect(dict.fromkeys(jobs, 2), {})
    view.failed(jobs[0], "the rule cannot be [bold]made[/bold].")
    view.failed(jobs[1], "the rule cannot be [bold]made[/bold].")
    assert lines(console) == ["The rule cannot be [bold]made[/bold]."]
    view.failed(jobs[2], "another reason.")  # with which the command itself ends
    assert len(lines(console)) == 1
    assert view.standing().failed == 6
    assert view.standing().said[-1] == "another reason."


class Deaths(Executor):
    """Computes nothing: what each job comes to, one of a list after another; None: its cells are there."""

    def __init__(self, *outcomes):
        self.outcomes = [*outcomes]
        self.submitted = []

    def submit(self, _, job):
        self.submitted.append(job)
        future = Future()
        if (outcome := self.outcomes.pop(0)) is None:
            for cell in job.cells:
                written(job.folder, cell, diverged=cell.seed == 1)
            future.set_result(0)
        else:
            future.set_exception(outcome)
        return future


def test_a_worker_that_dies_is_told_with_what_is_done_about_it(folder, monkeypatch):
    monkeypatch.setattr(controller, "missing", lambda *_: {"a": [0, 1, 2]})
    died = BrokenExecutor("a worker process was ended by SIGKILL.")
    console = Console(file=io.StringIO(), width=200)
    view = Live(console)
    controller.compute(folder, {"a": RUN}, range(3), Deaths(died, died, None), 1, view)
    assert [line for line in lines(console) if "done" not in line] == 2 * [
        "A worker process was ended by SIGKILL; its cells are tried again."
    ]
    assert (view.standing().done, view.standing().diverged, view.standing().failed) == (3, 1, 0)

    for file in (folder / "cells").iterdir():
        file.unlink()
    view, executor = Live(console), Deaths(died, died, died)
    with pytest.raises(ValueError, match=r"^a worker process was ended by SIGKILL\.$"):
        controller.compute(folder, {"a": RUN}, range(3), executor, 1, view)
    assert (view.standing().done, view.standing().failed, len(executor.submitted)) == (0, 3, 3)


def test_a_job_counts_as_running_from_its_first_word_to_its_last(folder):
    each = job(folder)
    assert progress_of(each) is None
    report = Report(each)
    assert progress_of(each) == 0
    report.end()
    assert progress_of(each) is None
    Report(each)
    clear(folder)
    assert progress_of(each) is None


def test_what_was_finished_before_counts_and_so_do_those_that_diverged(folder, monkeypatch):
    monkeypatch.setattr(controller, "missing", lambda *_: {"a": [2]})
    for seed in (0, 1):
        written(folder, Cell(RUN, seed), diverged=True)
    view = Live(Console(file=io.StringIO()))
    seen = []
    monkeypatch.setattr(view, "advance", lambda *_: None)
    monkeypatch.setattr(controller, "_compute", lambda *_: seen.append(view.standing()) or {})
    controller.compute(folder, {"a": RUN}, range(3), Deaths(), 1, view)
    assert (seen[0].cells, seen[0].done, seen[0].diverged) == (3, 2, 2)
    assert seen[0].whole.part == pytest.approx(2 / 3)


# From another terminal


def told(folder, **changes):
    """A sweep that this process computes, half done."""
    view = Live(Console(file=io.StringIO()))
    half, other = job(folder, 40, "a"), job(folder, 40, "b")
    view.expect({half: 40, other: 40}, {})
    view.end(half, 1)
    with published(folder, "fair: 2 points, 40 seeds each", view.standing):
        pass
    found = read_told(folder)
    found = found.model_copy(update=changes)
    write_whole(folder / "progress.json", found.model_dump_json().encode())
    return found


def watched(capsys, folder):
    watch.watch_folder(folder)
    return capsys.readouterr().out.splitlines()


GONE = subprocess.Popen([sys.executable, "-c", ""])
GONE.wait()


def test_who_looks_on_is_told_how_far_it_is_and_who_computes(folder, capsys):
    at = told(folder)
    first, second, third = watched(capsys, folder)
    assert first == f"fair: 2 points, 40 seeds each, in {folder}"
    assert second.startswith("40 of 80 cells, 1 diverged")
    assert third.startswith(f"Still running: process {os.getpid()} on {socket.gethostname()} computes it")
    assert computes(folder, at)
    tell_end(folder)
    assert watched(capsys, folder)[-1].startswith("It ended at ")
    told(folder)
    tell_end(folder, "it cannot be.")
    assert watched(capsys, folder)[-1].endswith(": it cannot be.")


def test_a_sweep_whose_process_is_gone_or_silent_is_told_to_be_nobody_s(folder, capsys, monkeypatch):
    monkeypatch.setattr(standing.time, "sleep", lambda _: None)
    for changes in ({"pid": GONE.pid}, {"host": "elsewhere", "at": 0.0}, {"at": 0.0}, {"pid": 2**70}):
        assert not computes(folder, told(folder, **changes))
        assert watched(capsys, folder)[-1].startswith("Nothing is running there; process ")
    tell_end(folder)  # another's, which is left alone
    assert read_told(folder).ended is None


def test_a_machine_with_another_clock_is_believed_if_it_goes_on_writing(folder, monkeypatch):
    at = told(folder, host="elsewhere", at=5.0)
    monkeypatch.setattr(standing.time, "sleep", lambda _: told(folder, host="elsewhere", at=6.0))
    assert computes(folder, at)


def test_a_clock_that_is_set_back_silences_no_job(folder, monkeypatch):
    report = Report(job(folder))
    monkeypatch.setattr(recredit.runs.running, "PAUSE", 0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    report.tell(5)
    assert progress_of(job(folder)) == 5


def test_jobs_that_nobody_has_heard_of_are_told(folder, capsys):
    told(folder)
    for number, changes in enumerate(({"pid": GONE.pid}, {"host": "elsewhere", "at": 0}, {})):
        report = Report(job(folder, 3 + number))
        table = json.loads(report.file.read_text())
        report.file.write_text(json.dumps(table | changes))
    (folder / "running" / "foreign.json").write_text('{"steps": 3, "pid": "x"}')
    assert len(running(folder)) == 3
    silent = [line for line in watched(capsys, folder) if line.startswith("Process ")]
    assert len(silent) == 2
    assert f"Process {GONE.pid}, which computed 3 cells, is gone." in silent
    assert any(
        re.fullmatch(r"Process \d+ on elsewhere, which computes 4 cells, has been silent for .* minutes\.", s) for s in silent
    )


def test_in_a_terminal_the_view_follows_until_the_end(folder, monkeypatch):
    console = terminal()
    monkeypatch.setattr(watch, "console", console)
    told(folder)
    steps = [
        lambda: told(folder, title="the second: 1 point, 3 seeds each"),
        lambda: tell_end(folder),
    ]
    monkeypatch.setattr(watch.time, "sleep", lambda _: steps.pop(0)())
    watch.watch_folder(folder)
    out = re.sub(r"\x1b\[[\d;?]*\w", "", console.file.getvalue())
    assert not steps
    assert out.index("fair: 2 points") < out.index("the second: 1 point") < out.index("It ended at")
    assert re.search(r"a +━+ 100%", out)


@pytest.mark.parametrize("changes", [{"at": -1e300}, {"at": 1e18}, {"at": math.nan}, {"pid": -1}])
def test_a_moment_or_a_process_that_cannot_be_is_damage(folder, changes):
    told(folder)
    table = json.loads((folder / "progress.json").read_text())
    (folder / "progress.json").write_text(json.dumps(table | changes))
    with pytest.raises(ValueError, match=r"nothing in .* reports any progress"):
        watch.watch_folder(folder)


def test_what_would_steer_a_terminal_is_not_printed(folder, capsys):
    told(folder, title="\x1b[31mred\nline", host="\x1b]0;x\x07")
    assert "\x1b" not in "".join(watched(capsys, folder))


def test_nothing_is_told_before_there_is_something_and_damage_is_no_end(folder):
    with published(folder, "x", lambda: None):
        pass
    assert read_told(folder) is None
    for damaged in (b"", b"{}", b"\xff", b"[1]"):
        (folder / "progress.json").write_bytes(damaged)
        assert read_told(folder) is None
        tell_end(folder)


@pytest.mark.slow
def test_ctrl_c_ends_a_view_without_a_word(folder):
    import pty

    told(folder, at=time.time() + 50)
    inner, outer = pty.openpty()
    command = [sys.executable, "-c", "from recredit.cli.main import main; main()", "watch", str(folder)]
    process = subprocess.Popen(command, stdin=outer, stdout=outer, stderr=outer)
    out = b""
    while b"all" not in out:
        out += os.read(inner, 1000)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    os.set_blocking(inner, False)
    out += os.read(inner, 10_000)
    assert b"Interrupted" not in out
    assert out.rindex(b"\x1b[?25h") > out.rindex(b"\x1b[?25l")


REFUSED = {
    ("watch", "ouf"): 'ouf does not exist. Did you mean "out"?',
    ("sweep", "--watch", "ouf"): 'ouf does not exist. Did you mean "out"?',
    ("sweep",): "a sweep takes a file, as in recredit sweep my.toml, or a folder to watch, as in --watch results/my.",
    ("sweep", "my.toml", "--watch", "out"): "a sweep takes a file",
    ("sweep", "--watch", "out", "--dry-run"): "a sweep takes a file",
    ("watch", "my.toml"): "my.toml is a file; give the folder of a command's results.",
    ("watch", "empty"): "nothing in empty reports any progress: no command has started to compute there.",
    ("sweep", "out"): "out is a folder of results; to watch it, recredit watch out; to compute, give a sweep's file.",
    ("sweep", "my.toml", "--out", "my.toml"): "cannot write to the folder my.toml: it is a file.",
    ("sweep", "my.toml", "--out", ""): 'a path must not be empty; the current folder is ".".',
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_a_file_is_computed_and_a_folder_watched(folder, capfd, arguments):
    told(folder)
    Path("my.toml").write_text(SWEEP)
    Path("empty").mkdir()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert REFUSED[arguments] in err


# Before it runs


def flat(text):
    return re.sub(r"\s+", " ", text)


def dry(where=Local(), cores=2):
    sweep = replace(read_sweep(Path("my.toml")), executor=where)
    return in_plan(sweep, outlook(sweep, cores), cores).splitlines()


def test_a_dry_run_says_what_is_to_be_computed_and_writes_nothing(capfd):
    Path("my.toml").write_text(SWEEP)
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "my.toml", "--dry-run"])
    assert (ended.value.code, sorted(Path().rglob("*"))) == (0, before)
    out = capfd.readouterr().out
    assert [*map(str.strip, out.splitlines()[4:6])] == [
        "1. to choose optimizer.learning_rate by final_loss",
        "3 runs on seeds 3 to 4: 6 cells, 1,200 steps",
    ]
    assert "Largest learner: rflo on add, n = 4, " in out
    told = r"In results/my, on \d+ cores? of this machine: roughly 14 seconds, a rough guess from the learners' sizes"
    assert re.search(told, flat(out))
    assert all(len(line) <= 80 for line in out.splitlines())


def test_a_dry_run_judges_by_what_is_finished_and_counts_it():
    Path("my.toml").write_text(SWEEP)
    sweep, out = read_sweep(Path("my.toml")), writable_folder(Path("results/my"))
    for point in sweep.points[:2]:
        for seed in sweep.select.seeds:
            written(out, Cell(point.run, seed), seconds=3000.0)
    told = dry()
    assert told[6].strip() == "4 finished, 2 to compute in 1 job, roughly 100 minutes of one core"
    assert told[9].strip() == "3 to compute in 1 job, roughly 2.5 hours of one core"
    assert flat("\n".join(told)).endswith(": roughly 4.2 hours, judged by the 4 cells finished so far.")


def test_each_rule_is_judged_by_its_own_cells_and_one_that_has_none_by_all():
    Path("my.toml").write_text(SWEEP.replace('"rflo"', '["rflo", "uoro", "kernl"]').partition("[select]")[0])
    sweep, out = read_sweep(Path("my.toml")), writable_folder(Path("results/my"))
    for rule, seconds in {"rflo": 7.0, "uoro": 5.0}.items():
        point = next(point for point in sweep.points if point.coordinates["rule"] == rule)
        written(out, Cell(point.run, 0), seconds=seconds)
    (phase,) = outlook(sweep, 2).phases
    each = {
        job.cells[0].run.rule["name"]: seconds / left
        for (job, left), seconds in zip(phase.jobs.items(), phase.seconds.values())
    }
    guessed = {job.cells[0].run.rule["name"]: (job.seconds + PROGRAM) / len(job.cells) for job in phase.jobs}
    assert (each["rflo"], each["uoro"]) == (7.0, 5.0)
    assert each["kernl"] == pytest.approx(guessed["kernl"] * 12 / (guessed["rflo"] + guessed["uoro"]))


def test_a_dry_run_says_where():
    Path("my.toml").write_text(SWEEP)
    cluster = {"walltime": "12:00:00", "cores": 32, "nodes": 4}
    for where, words in {
        Local(1): "on 2 cores of this machine",
        Slurm(**cluster, partition="short"): (
            "through slurm (short) in 1 block (4 at most), each a node of 32 cores, so 32 workers, for 12:00:00"
        ),
        PBS(**cluster, gpus=2): "through pbs in 1 block (4 at most), each a node of 2 GPUs and 32 cores, so 2 workers, for",
        PBS("12:00:00", 1): "through pbs in 1 block, each a node of 1 core, so 1 worker, for 12:00:00",
    }.items():
        assert f"In results/my, {words}" in flat("\n".join(dry(where)))


def test_a_dry_run_says_what_this_machine_lacks_and_a_run_is_refused_before_it_writes(capfd, monkeypatch):
    Path("my.toml").write_text(SWEEP + '[executor]\nkind = "slurm"\nwalltime = "1:00:00"\ncores = 4\n')
    monkeypatch.setenv("PATH", "")
    lacking = "executor slurm needs the command sbatch, which this machine lacks; use a login node.\n"
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "my.toml", "--dry-run"])
    assert ended.value.code == 0
    assert capfd.readouterr().out.endswith(f"It cannot start on this machine: {lacking}")
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "my.toml", "--out", "there"])
    assert ended.value.code == 2
    assert capfd.readouterr().err == f"recredit: {lacking}"
    assert sorted(Path().rglob("*")) == before


def test_a_sweep_goes_where_its_command_says(capfd):
    Path("my.toml").write_text(f'out = "here"\n{SWEEP}')
    for arguments, folder in ([], "here"), (["--out", "there"], "there"):
        with pytest.raises(SystemExit):
            main(["sweep", "my.toml", "--dry-run", *arguments])
        assert f"In {folder}, on" in flat(capfd.readouterr().out)
