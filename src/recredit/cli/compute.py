"""Compute runs with progress in the terminal."""

import contextlib
import importlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

import jax

from recredit.cli.console import console as console
from recredit.cli.live import LivePage
from recredit.report.progress import Live
from recredit.runs.controller import compute, held
from recredit.runs.failures import explanation
from recredit.runs.local import cores
from recredit.runs.settings import Run
from recredit.runs.standing import published, tell_end

jax.config.update("jax_platforms", "cpu")  # this process prepares and draws; the device is the workers'


def compute_runs(
    executor: Executor,
    folder: Path,
    title: str,
    runs: dict[str, Run],
    seeds: Sequence[int],
    seeds_at_once: int | None,
    count: int | None = None,
    then: Iterable[str] = ("recredit.report.figures",),
    keeps_states: bool = False,
    page: LivePage | None = None,
) -> None:
    """Compute what is missing of these runs in a folder, and show how it goes; those who watch the folder see it too, under a
    title. `count`: the executor's cores; None: this machine's. `then`: modules that are needed afterwards; they are imported
    while the workers compute. `keeps_states`: whether each learner's whole state at the end is kept.
    `page`: a page that follows."""
    with Live(console) as live, published(folder, title, live.standing):
        if page:
            page.follow(title, runs, seeds, live.standing)
        threading.Thread(target=_import, args=(then, live.expected), daemon=True).start()
        compute(folder, runs, seeds, executor, count or len(cores()), live, seeds_at_once, keeps_states)


def _import(modules: Iterable[str], begin: threading.Event) -> None:
    begin.wait()
    for module in modules:
        importlib.import_module(module)


@contextlib.contextmanager
def working_in(folder: Path, files: Iterable[str]) -> Iterator[Path]:
    """A folder that is `held` for these files and for the progress that others watch: its end too, and the reason for it."""
    with held(folder, [*files, "progress.json"], console.out):
        try:
            yield folder
        except Exception as error:
            tell_end(folder, explanation(error))
            raise
        tell_end(folder)
