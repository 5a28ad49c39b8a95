"""Work on a cluster: a real SLURM of one node, whose blocks, and whose controller, are killed in the middle."""

import collections
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recredit.runs.cluster import PBS, Local, Slurm, _provider, cluster_executor, resolve_executor
from recredit.runs.environment import environment

HERE = Path(__file__).parent
TABLE = {"kind": "slurm", "walltime": "02:00:00", "cores": 2}


def test_a_table_says_where_to_compute():
    assert resolve_executor({}) == resolve_executor({"kind": "local"}) == Local()
    assert resolve_executor(TABLE | {"partition": "gpu", "gpus": 1}) == Slurm("02:00:00", 2, gpus=1, partition="gpu")
    assert resolve_executor(TABLE | {"kind": "pbs", "queue": "long"}) == PBS("02:00:00", 2, queue="long")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"kind": "slrum"}, r'executor "slrum" is unknown; allowed: local, slurm, pbs. Did you mean "slurm"\?'),
        ({"kind": 3}, "executor 3 is unknown; allowed: local, slurm, pbs."),
        ("slurm", r'the executor must be a table, as in \[executor\] kind = "local", not \'slurm\'.'),
        (TABLE | {"waltime": "1:00:00"}, r'executor slurm has no setting "waltime"; .*Did you mean "walltime"\?'),
        ({"name": "slurm"}, "the executor has a kind, not a name; its kinds: local, slurm, pbs."),
        (TABLE | {"queue": "long"}, 'executor slurm has no setting "queue"; its settings: walltime, .*'),
        ({"kind": "pbs", "cores": 2}, "executor pbs needs the setting walltime."),
        *[
            (TABLE | {"walltime": given}, f"executor slurm's walltime must be HH:MM:SS, at least a minute, not '{given}'.")
            for given in ("2h", "02:00", "00:00:59", "01:60:00", "1-00:00:00")
        ],
        (TABLE | {"walltime": 7200}, "executor slurm's walltime cannot be 7200: .*"),
        (TABLE | {"cores": 0}, "executor slurm's cores must be a whole number of at least 1, not 0."),
        (TABLE | {"nodes": 1.5}, "executor slurm's nodes cannot be 1.5: .*"),
        (TABLE | {"gpus": -1}, "executor slurm's gpus must be a whole number of at least 0, not -1."),
        (TABLE | {"account": "my group"}, "executor slurm's account must be one word, not 'my group'."),
        (TABLE | {"options": "qos=long"}, "executor slurm's options must be lines that begin with a dash, not 'qos=long'."),
        (TABLE | {"environment": ["module load python"]}, "executor slurm's environment cannot be .*"),
        ({"kind": "local", "cores": 0}, "executor local's cores must be a whole number of at least 1, not 0."),
    ],
)
def test_a_wrong_table_is_refused_in_a_sentence(table, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        resolve_executor(table)


def test_what_a_machine_lacks_is_said(tmp_path, monkeypatch):
    def refused(folder):
        with pytest.raises(ValueError) as error, cluster_executor(Slurm("02:00:00", 2), folder):
            pass
        return str(error.value)

    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused(tmp_path) == "executor slurm needs the command sbatch, which this machine lacks; use a login node."
    for command in ("sbatch", "scancel"):
        (tmp_path / command).touch(mode=0o755)
    assert "must have no spaces" in refused(tmp_path / "my study")
    monkeypatch.setitem(sys.modules, "parsl", None)
    assert refused(tmp_path) == "executor slurm needs Parsl: pip install 'recredit[cluster]'."


class Study:
    """A folder with 24 jobs of half a second, and the controllers that a test starts for them."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def start(self):
        paths = os.pathsep.join([str(HERE.parent / "src"), str(HERE / "slurm")])
        command = [sys.executable, str(HERE / "slurm/controller.py"), str(self.folder), "0.5"]
        env = os.environ | {"PYTHONPATH": paths, "STUDY": str(self.folder)}
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def until(self, met, seconds=60):
        start = time.monotonic()
        while not met():
            assert time.monotonic() < start + seconds
            time.sleep(0.1)

    def results(self):
        return len(list(self.folder.glob("*.result")))

    def blocks(self):
        return subprocess.run(
            ["squeue", "--noheader", "--format=%i"], capture_output=True, text=True, check=True
        ).stdout.split()

    def processes(self):
        """All processes of the study, wherever they descend from: its blocks have its environment too."""
        found = []
        for each in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if f"STUDY={self.folder}\0" in each.read_text(errors="replace"):
                    found.append(int(each.parent.name))
        return found

    def link(self, controller):
        """The process beside a controller, through which it reaches its blocks, and which cancels them at its end."""
        command = ["pgrep", "--parent", str(controller.pid), "--full", "interchange"]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def ends_well(self, controller, lost):
        """The controller ends, and says nothing; of the jobs, all done, at most `lost` were started twice; nothing is left."""
        assert controller.communicate(timeout=120) == ("", None)
        assert controller.returncode == 0
        assert {path.name for path in self.folder.iterdir()} == {"started", *(f"{number}.result" for number in range(24))}
        started = collections.Counter((self.folder / "started").read_text().split())
        assert len(started) == 24
        assert sum(started.values()) <= 24 + lost
        assert not self.blocks()
        self.until(lambda: not self.processes(), 5)


@pytest.mark.slow
def test_a_block_that_is_cancelled_loses_no_job(slurm, tmp_path):
    study = Study(tmp_path / "study")
    controller = study.start()
    study.until(lambda: study.results() > 6)
    subprocess.run(["scancel", *study.blocks()], check=True)
    study.until(lambda: not study.blocks(), 30)
    assert study.results() < 24
    study.ends_well(controller, lost=2)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_controller_that_is_killed_leaves_nothing_behind_and_goes_on(slurm, tmp_path, number):
    study = Study(tmp_path / "study")
    controller = study.start()
    study.until(lambda: study.results() > 6)
    controller.send_signal(number)
    controller.wait(30)
    if number == signal.SIGINT:  # at SIGKILL the next one meets what is about to end
        study.until(lambda: not study.blocks() + study.processes(), 15)
    assert study.results() < 24
    study.ends_well(study.start(), lost=2)


@pytest.mark.slow
def test_blocks_end_by_themselves_once_the_controllers_machine_is_gone(slurm, tmp_path):
    study = Study(tmp_path / "study")
    controller = study.start()
    study.until(lambda: study.results() > 6)
    for pid in (study.link(controller), controller.pid):
        os.kill(pid, signal.SIGKILL)
    controller.wait(30)
    study.until(lambda: not study.blocks() + study.processes(), 60)


@pytest.mark.slow
def test_a_controller_whose_link_to_the_workers_is_killed_says_so_and_goes_on(slurm, tmp_path):
    study = Study(tmp_path / "study")
    controller = study.start()
    study.until(lambda: study.results() > 6)
    os.kill(study.link(controller), signal.SIGKILL)
    said, _ = controller.communicate(timeout=30)
    assert "the process that links this one with the cluster's workers has ended; run the same command to go on." in said
    assert not study.blocks()
    study.until(lambda: not study.processes(), 5)
    assert study.results() < 24
    study.ends_well(study.start(), lost=2)


@pytest.mark.slow
def test_blocks_that_do_not_come_up_are_told(slurm, tmp_path, monkeypatch):
    from parsl.providers import SlurmProvider

    monkeypatch.setattr(SlurmProvider, "status_polling_interval", 1)
    settings = TABLE | {"walltime": "00:10:00", "environment": "module load something\nexit 1"}
    with cluster_executor(resolve_executor(settings), tmp_path) as executor:
        assert "no block starts on the cluster" in str(executor.submit(os.getpid).exception())


@pytest.mark.slow
def test_a_block_that_waits_in_the_queue_is_waited_for(slurm, tmp_path):
    settings = TABLE | {"walltime": "00:10:00", "options": "--begin=now+6"}
    with cluster_executor(resolve_executor(settings), tmp_path) as executor:  # of two workers for one job
        assert executor.submit(os.getenv, "SLURM_CPUS_PER_TASK").result(60) == "2"


@pytest.mark.slow
def test_a_block_that_slurm_has_forgotten_is_not_believed_to_run(slurm):
    from parsl.jobs.states import JobState, JobStatus

    provider = _provider(Slurm("00:10:00", 2), "slurm", "recredit-none")
    provider.resources["99999"] = {"status": JobStatus(JobState.RUNNING), "job_stdout_path": None, "job_stderr_path": None}
    assert [status.state for status in provider.status(["99999"])] == [JobState.COMPLETED]


@pytest.mark.slow
def test_what_a_table_asks_pbs_for(tmp_path, monkeypatch):
    """No PBS is to be had here: one of four commands that start its scripts shows that they run, and end."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "jobs").mkdir()
    for command in ("qsub", "qstat", "qselect", "qdel"):
        (tmp_path / "bin" / command).symlink_to(HERE / "slurm/fake_pbs.py")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_PBS", str(tmp_path / "jobs"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = {
        "cores": 1,
        "memory": 4,
        "queue": "long",
        "account": "us",
        "options": "-l place=free",
        "environment": "umask 77",
    }
    with cluster_executor(resolve_executor({"kind": "pbs", "walltime": "12:00:00"} | settings), tmp_path) as executor:
        for name, value in environment().items():
            assert executor.submit(os.getenv, name).result(60) == value
        assert len(executor.submit(os.sched_getaffinity, 0).result(60)) == 1
        first, *script = (tmp_path / "script").read_text().splitlines()
    assert first.split() == ["-q", "long", "-A", "us"]
    assert {"#PBS -l walltime=12:00:00", "#PBS -l select=1:ncpus=1:mem=4gb", "#PBS -l place=free", "umask 77"} < set(script)
    assert (
        subprocess.run(["qselect", "-N", [line for line in script if "#PBS -N" in line][-1][8:]], capture_output=True).stdout
        == b"\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "cache", "jobs", "script"}
    assert [*tmp_path.glob("cache/recredit/programs/*")]  # where a worker keeps those it compiles
