"""What a worker process does: take its core, and train one run for some seeds."""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import jax
import numpy as np

from recredit.runs.failures import no_device
from recredit.runs.settings import Run
from recredit.runs.store import write_cells
from recredit.training.loop import train


def take_core() -> str:
    """JAX's backend; if it is a processor, this process is pinned to its core. Raises ValueError for a JAX without a device."""
    try:
        backend = jax.default_backend()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(no_device(error)) from None
    core = os.environ.get("RECREDIT_CORE")
    if core and backend == "cpu" and hasattr(os, "sched_setaffinity"):
        for thread in os.listdir("/proc/self/task"):  # JAX's own threads too, which have begun by now
            with contextlib.suppress(ProcessLookupError):  # a thread that has ended since
                os.sched_setaffinity(int(thread), {int(core)})
    return backend


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def work(
    run: Run,
    seeds: list[int],
    folder: Path,
    seeds_at_once: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Train one run for some seeds and write their cells."""
    begun, began = now(), time.perf_counter()
    rule, network, optimizer, observers = run.build()
    data = train(
        rule,
        run.build_task(),
        network=network,
        optimizer=optimizer,
        seeds=seeds,
        steps=run.steps,
        bin=run.bin,
        streams=run.streams,
        seeds_at_once=seeds_at_once,
        observers=observers,
        progress=progress,
    )
    each = (time.perf_counter() - began) / len(seeds)
    meaning = {"long_name": "time that the seeds computed together took, shared evenly", "units": "s"}
    data["seconds"] = ("seed", np.full(len(seeds), each), meaning)
    made = {
        "host": socket.gethostname(),
        "begun": begun,
        "ended": now(),
        "seconds": each,
        "device": jax.devices()[0].device_kind,
    }
    write_cells(folder, run, data, made)
    jax.clear_caches()  # this run's compiled programs, tens of MB each, are not needed again
