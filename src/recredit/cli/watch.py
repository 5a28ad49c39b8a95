"""What `recredit watch` does."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from rich.console import Group
from rich.live import Live
from rich.text import Text

from recredit.cli.console import console
from recredit.cli.process import end_quietly
from recredit.errors import beside
from recredit.report.progress import drawn, in_words, put
from recredit.runs.running import running
from recredit.runs.standing import Told, computes, is_gone, read_told

LOOK = 0.5  # seconds between looks
STALE = 600  # seconds without news from a worker before that is reported: it may compile for minutes


def watch_folder(folder: Path) -> None:
    """Show the progress of what is computed in a folder, in a terminal until it ends; say who computes, or that nobody does.

    Raises ValueError if a folder reports none.
    """
    end_quietly()
    told = _first(folder)
    goes_on = computes(folder, told)
    put(console, f"{told.title}, in {folder}")
    if console.is_terminal and goes_on:
        told, goes_on = _follow(folder, told), False
    else:
        for line in (*told.standing.said, in_words(told.standing)):
            put(console, line)
    for line in (*_silent(folder), _state(told, goes_on)):
        put(console, line)


def _first(folder: Path) -> Told:
    """What a folder reports at first. Raises ValueError if it reports nothing."""
    if told := read_told(folder):
        return told
    if folder.is_dir():
        raise ValueError(f"nothing in {folder} reports any progress: no command has started to compute there.")
    what = "is a file; give the folder of a command's results" if folder.exists() else "does not exist"
    raise ValueError(f"{folder} {what}.{beside(folder)}")


def _follow(folder: Path, told: Told) -> Told:
    """Show it for as long as it goes on; return the last report."""
    title, said = told.title, set()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            if told.title != title:
                title = told.title
                put(console, f"{title}, in {folder}")
            for sentence in told.standing.said:
                if sentence not in said:
                    said.add(sentence)
                    put(console, sentence)
            live.update(
                Group(drawn(told.standing, console.width), *(Text(line, "dim") for line in _silent(folder))), refresh=True
            )
            if not computes(folder, told):
                live.update(drawn(told.standing, console.width), refresh=True)
                return told
            time.sleep(LOOK)
            told = read_told(folder) or told


def _silent(folder: Path) -> Iterator[str]:
    """A sentence on each job that says it is being computed, though nobody has seen it for some time."""
    for job in running(folder):
        what = f"{job.cells} cell{'s' * (job.cells != 1)}"
        if is_gone(job.host, job.pid):
            yield f"Process {job.pid}, which computed {what}, is gone."
        elif (since := time.time() - job.at) > STALE:
            yield f"Process {job.pid} on {job.host}, which computes {what}, has been silent for {since / 60:.0f} minutes."


def _state(told: Told, goes_on: bool) -> str:
    who = f"process {told.pid} on {told.host}"
    at = datetime.fromtimestamp(told.at).strftime("%Y-%m-%d %H:%M:%S")
    if goes_on:
        return f"Still running: {who} computes it, and reported this at {at}."
    if told.ended is None:
        return f"Nothing is running there; {who} was, until {at}. Run the same command to go on."
    return f"It ended at {at}: {told.ended}" if told.ended else f"It ended at {at}."
