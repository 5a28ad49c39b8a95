"""The process between the controller and its blocks, the jobs of a cluster's scheduler that hold workers.

It is Parsl's interchange, in a session of its own, and watched: once the controller is gone, however it ended, the blocks are
cancelled, those that still wait in the queue too. Should this process die as well, the blocks miss its heartbeat, and end.
"""

import os
import runpy
import subprocess
import sys
import threading
import time

LIST = {"slurm": ["squeue", "--noheader", "--format=%i", "--name"], "pbs": ["qselect", "-N"]}
CANCEL = {"slurm": "scancel", "pbs": "qdel"}


def blocks(kind: str, name: str) -> list[str]:
    """The identifiers of all blocks of a name that a scheduler has: waiting, running or about to end."""
    return subprocess.run([*LIST[kind], name], capture_output=True, text=True).stdout.split()


def cancel(kind: str, name: str) -> None:
    """Cancel all blocks of a name, and wait a minute at most until the scheduler has none."""
    for _ in range(120):
        if not (found := blocks(kind, name)):
            return
        subprocess.run([CANCEL[kind], *found], capture_output=True)
        time.sleep(0.5)


def _watch(controller: int, kind: str, name: str) -> None:
    while os.getppid() == controller:
        time.sleep(0.5)
    cancel(kind, name)
    os._exit(0)


def main() -> None:
    """Serve. Arguments: the controller's process, the kind of the scheduler, the name of the blocks."""
    controller, kind, name = sys.argv[1:]
    os.setsid()  # Ctrl-C, and the end of a terminal, are for the controller
    threading.Thread(target=_watch, args=(int(controller), kind, name), daemon=True).start()
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__")


if __name__ == "__main__":
    main()
