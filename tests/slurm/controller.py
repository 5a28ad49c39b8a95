"""A controller of 24 stand-in jobs on a cluster, as a process that a test can kill: controller.py FOLDER SECONDS"""

import os
import sys
import time
from concurrent.futures import BrokenExecutor, wait
from pathlib import Path

from recredit.runs.cluster import cluster_executor, resolve_executor

JOBS = 24


def work(folder: str, number: int, seconds: float) -> int:
    """Note the start, take a while, and write the result: there must be none yet."""
    with open(f"{folder}/started", "a") as started:
        started.write(f"{number}\n")
    time.sleep(seconds)
    os.close(os.open(f"{folder}/{number}.result", os.O_CREAT | os.O_EXCL))
    return number


def main() -> None:
    """Compute what has no result yet; try thrice what a worker's death ended."""
    import controller  # whose function the workers find, as they do not those of __main__
    from parsl.providers import SlurmProvider

    SlurmProvider.status_polling_interval = 2  # seconds; usually Parsl asks once a minute
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    environment = f"export PYTHONPATH={os.environ['PYTHONPATH']}"
    table = {"kind": "slurm", "walltime": "00:10:00", "cores": 2, "memory": 2, "environment": environment}
    with cluster_executor(resolve_executor(table), folder) as executor:
        missing = [number for number in range(JOBS) if not (folder / f"{number}.result").exists()]
        attempts = dict.fromkeys(missing, 3)
        running = {executor.submit(controller.work, str(folder), number, seconds): number for number in missing}
        while running:
            for future in wait(running, return_when="FIRST_COMPLETED").done:
                number = running.pop(future)
                attempts[number] -= 1
                try:
                    assert future.result() == number
                except BrokenExecutor:
                    assert attempts[number], f"job {number} was lost three times"
                    if not (folder / f"{number}.result").exists():
                        running[executor.submit(controller.work, str(folder), number, seconds)] = number


if __name__ == "__main__":
    main()
