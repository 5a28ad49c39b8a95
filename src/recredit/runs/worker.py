"""One worker process: takes runs from its input, a line of JSON each, and answers with progress, a line of JSON each.

Started by `recredit.runs.scheduler`. In: {"run": table, "seeds": [...], "out": path, "seeds_at_once": number or null}. Out:
{"backend": name} once, then per run {"steps": done} now and again, and {"done": path} or {"error": sentence}.
"""

import json
import os
import sys
import time
from pathlib import Path

import jax

from recredit.runs.settings import Run
from recredit.runs.store import versions, write_dataset
from recredit.training.loop import train


def say(**message: object) -> None:
    """Tell the pool. If the pool is gone, this ends the worker."""
    try:
        print(json.dumps(message), flush=True)
    except BrokenPipeError:
        os._exit(1)


def work(run: Run, seeds: list[int], out: Path, seeds_at_once: int | None = None) -> None:
    """Train one run for some seeds and write its cell."""
    began = time.perf_counter()
    rule, network, optimizer, observers = run.build()
    data = train(
        rule,
        run.build_task(),
        network=network,
        optimizer=optimizer,
        seeds=seeds,
        steps=run.steps,
        bin_steps=run.bin,
        streams=run.streams,
        seeds_at_once=seeds_at_once,
        observers=observers,
        progress=lambda done: say(steps=done),
    )
    data.attrs |= {"run": run.text(), "versions": json.dumps(versions()), "device": jax.devices()[0].device_kind}
    data.attrs["seconds"] = time.perf_counter() - began
    write_dataset(out, data)
    jax.clear_caches()  # this run's compiled programs, tens of MB each, are not needed again


def main() -> None:
    """Serve until the input ends."""
    core = os.environ.get("RECREDIT_CORE")
    backend = jax.default_backend()
    if core and backend == "cpu" and hasattr(os, "sched_setaffinity"):
        for thread in os.listdir("/proc/self/task"):  # JAX's own threads too, which have begun by now
            os.sched_setaffinity(int(thread), {int(core)})
    say(backend=backend)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            work(Run(**job["run"]), job["seeds"], Path(job["out"]), job["seeds_at_once"])
            say(done=job["out"])
        except (ValueError, OSError) as error:
            say(error=str(error))
        except Exception as error:
            say(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
