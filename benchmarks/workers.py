"""The contenders' processes: the same one on each core, all given the same work at once."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from recredit.runs.environment import SINGLE_THREAD

CONTENDER = Path(__file__).with_name("contender.py")
ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
ONE_CORE["TF_CPP_MIN_LOG_LEVEL"] = "3"  # XLA's remarks about its own compile time
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # OpenBLAS is to choose by itself


class Workers:
    """One contender: a process a core, pinned to it, or one that may use the whole machine and its GPU (cores: [None])."""

    def __init__(self, python: str, module: str, cores: Sequence[int | None], flags: str = ""):
        """`flags`: of XLA, for processes pinned to cores, besides the one for a single thread."""
        env = {name: value for name, value in os.environ.items() if name not in UNSET}
        self.processes = []
        for core in cores:
            process = subprocess.Popen(
                [python, str(CONTENDER), module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=env if core is None else env | ONE_CORE | {"XLA_FLAGS": f"{SINGLE_THREAD} {flags}".strip()},
            )
            self.processes.append(process)
            if core is not None and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, {core})  # before it starts threads, which take this over

    def ask(self, do: str, **request: object) -> list[dict]:
        """Every process's answer. Raises RuntimeError with the first one's sentence if any fails."""
        try:
            for process in self.processes:
                process.stdin.write(json.dumps({"do": do} | request) + "\n")
                process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError("its process has ended") from None
        answers = []
        for process in self.processes:
            line = process.stdout.readline()
            answers.append(json.loads(line) if line else {"error": f"its process ended (exit status {process.wait()})"})
        for answer in answers:
            if "error" in answer:
                raise RuntimeError(answer["error"])
        return answers

    def measure(self, what: str, **settings: object) -> list:
        """A number, or a word, of every process."""
        return [answer["value"] for answer in self.ask("measure", what=what, **settings)]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
