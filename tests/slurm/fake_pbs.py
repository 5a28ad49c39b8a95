#!/usr/bin/env python3
"""The four commands of PBS that are needed, by the name it is called by. Its jobs are files in $FAKE_PBS: process and name."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

HOME = Path(os.environ["FAKE_PBS"])


def jobs():
    """The name of each job that runs, by its process; each is the first of a session, and no zombie."""
    found = {path.name: path.read_text() for path in HOME.iterdir()}
    return {pid: name for pid, name in found.items() if os.path.exists(f"/proc/{pid}/exe")}


match Path(sys.argv[0]).name, sys.argv[1:]:
    case "qsub", [*options, script]:
        text = Path(script).read_text()
        out, err = (re.findall(rf"^#PBS -{key} (.*)$", text, re.MULTILINE)[-1] for key in "oe")
        run = f"exec bash {script} > {out} 2> {err}"
        process = subprocess.Popen(run, shell=True, stdout=subprocess.DEVNULL, start_new_session=True)
        (HOME / str(process.pid)).write_text(re.findall(r"^#PBS -N (.*)$", text, re.MULTILINE)[-1])
        (HOME.parent / "script").write_text(" ".join(options) + "\n" + text)
        print(process.pid)
    case "qselect", ["-N", wanted]:
        print(*(pid for pid, name in jobs().items() if name == wanted), sep="\n")
    case "qdel", pids:
        for pid in pids:
            os.killpg(int(pid), signal.SIGTERM)
    case "qstat", [*_, "json", pids]:
        running = jobs()
        print(json.dumps({"Jobs": {pid: {"job_state": "R" if pid in running else "F"} for pid in pids.split()}}))
