"""Compute runs with progress in the terminal."""

import contextlib
import importlib
import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import jax

from recredit.cli.console import console as console
from recredit.report.progress import Live
from recredit.runs.controller import compute
from recredit.runs.local import cores
from recredit.runs.settings import Run
from recredit.runs.standing import published

jax.config.update("jax_platforms", "cpu")  # this process prepares and draws; the device is the workers'


def compute_runs(
    executor: Executor,
    folder: Path,
    runs: dict[str, Run],
    seeds: Sequence[int],
    seeds_at_once: int | None,
    count: int | None = None,
    title: str | None = None,
) -> None:
    """Compute what is missing of these runs in a folder, and show how it goes. `count`: the executor's cores; None: this
    machine's. `title`: what is told, with how it goes, to those who watch the folder; None: they are told nothing."""
    # matplotlib takes half a second to import: not before a refusal, and while workers compute.
    threading.Thread(target=importlib.import_module, args=("recredit.report.figures",), daemon=True).start()
    with Live(console) as live, published(folder, title, live.standing) if title else contextlib.nullcontext():
        compute(folder, runs, seeds, executor, count or len(cores()), live, seeds_at_once)
