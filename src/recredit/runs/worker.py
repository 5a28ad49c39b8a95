"""One worker process: takes jobs from its input, a line of JSON each, and answers with progress, a line of JSON each.

Started by `recredit.runs.scheduler`. In: {"run": table, "seeds": [...], "folder": path, "seeds_at_once": number or null}. Out:
{"backend": name} once, then per job {"steps": done} now and again, and {"done": true} or {"error": sentence}.

When its input ends, so does the worker, in the middle of a compiled call too: it never outlives the process that started it.
"""

import json
import os
import queue
import threading
from pathlib import Path
from typing import TextIO

from recredit.runs.ending import end
from recredit.runs.failures import explanation


def main() -> None:
    """Serve until the input ends."""
    jobs: queue.SimpleQueue[dict] = queue.SimpleQueue()
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)  # a rule of the user's own that asks or prints must not meet the messages
    os.dup2(2, 1)
    threading.Thread(target=_receive, args=(requests, jobs), daemon=True).start()

    def say(**message: object) -> None:
        print(json.dumps(message), file=answers, flush=True)

    try:
        from recredit.runs.settings import Run  # here, so that a JAX that cannot be imported is said as well
        from recredit.runs.work import take_core, work

        say(backend=take_core())
    except BaseException as error:
        say(error=explanation(error))
        return
    while True:
        job = jobs.get()
        try:
            work(Run(**job["run"]), job["seeds"], Path(job["folder"]), job["seeds_at_once"], lambda done: say(steps=done))
            say(done=True)
        except BaseException as error:
            say(error=explanation(error))


def _receive(requests: TextIO, jobs: "queue.SimpleQueue[dict]") -> None:
    try:
        for line in requests:
            jobs.put(json.loads(line))
    finally:  # after a line that was cut short too
        end(0)


if __name__ == "__main__":
    main()
