"""What runs have come to while they are still being computed: from their finished cells, and from checkpoints."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from recredit.report.figures import settings_text
from recredit.report.gathered import Curve, Gathered, Panel, shown_as
from recredit.runs.checkpoint import read_checkpoint
from recredit.runs.contents import bin_ends, loss_in
from recredit.runs.identity import Cell, versions
from recredit.runs.record import DamagedError, read_netcdf
from recredit.runs.settings import Run

Lane = tuple[np.ndarray, bool]
"""The loss of a seed in each of its bins that is complete, as rules descend it, and whether the seed has diverged."""


class SoFar:
    """Reads a folder in which runs, by label, are computed with some seeds; what has been read once is kept."""

    def __init__(self, folder: Path, title: str, runs: Mapping[str, Run], seeds: Sequence[int]):
        self.folder, self.title, self.runs, self.seeds = folder, title, runs, seeds
        self.files = {label: [Cell(run, seed).file for seed in seeds] for label, run in runs.items()}
        self.shown = {label: shown_as(run.model_dump()) for label, run in runs.items()}
        self.finished: dict[str, tuple[np.ndarray, float]] = {}
        """The loss of each finished cell, by its file, and that at the end."""
        self.checkpoints: dict[Path, tuple[int, dict[str, Lane]]] = {}
        """When each checkpoint was written, and its cells' losses by their files."""

    def read(self) -> Gathered:
        """All that is known now."""
        begun = self._begun()
        panels: dict[str, tuple[str, list[Curve]]] = {}
        for label, run in self.runs.items():
            title = settings_text(run.task)
            prefixes = f"{label.partition(': ')[0]}: ", f"{run.task['name']} "
            name = next((label.removeprefix(each) for each in prefixes if label.startswith(each)), label)
            panels.setdefault(title, (label, []))[1].append(self._curve(name, label, run, begun))
        return Gathered(
            self.title,
            str(self.folder),
            [Panel(title, *self.shown[label][:2], curves) for title, (label, curves) in panels.items()],
            versions(),
        )

    def _curve(self, name: str, label: str, run: Run, begun: Mapping[str, Lane]) -> Curve:
        ends, scale = np.array(bin_ends(run.model_dump())), self.shown[label][2]
        loss = np.full((len(self.seeds), len(ends)), np.nan)
        final, lost = np.full(len(self.seeds), np.nan), np.zeros(len(self.seeds), bool)
        for k, file in enumerate(self.files[label]):
            if found := self._finished(file):
                loss[k], final[k] = found[0] / scale, found[1]
                lost[k] = np.isnan(final[k])
            elif file in begun:
                values, lost[k] = begun[file]
                loss[k, : len(values)] = values[: len(ends)] / scale
        return Curve(name, run.model_dump(), self.seeds, ends, loss, final, lost)

    def _finished(self, file: str) -> tuple[np.ndarray, float] | None:
        if file not in self.finished:
            try:
                record, netcdf = read_netcdf(self.folder / "cells" / file)
                end = record["final_loss"]
                self.finished[file] = loss_in(record, netcdf), np.nan if end is None else end
            except (OSError, DamagedError):  # it is not there yet
                return None
        return self.finished[file]

    def _begun(self) -> dict[str, Lane]:
        """The losses in the checkpoints that lie in the folder now."""
        bins = {file: run.bin for label, run in self.runs.items() for file in self.files[label]}
        now: dict[Path, tuple[int, dict[str, Lane]]] = {}
        for path in (self.folder / "checkpoints").glob("*.ckpt"):
            try:
                written = path.stat().st_mtime_ns
            except OSError:  # its cells have been finished meanwhile
                continue
            known = self.checkpoints.get(path)
            if known and known[0] == written:
                now[path] = known
            elif found := read_checkpoint(path, lambda sentence: None):
                now[path] = written, _lanes(*found, bins)
        self.checkpoints = now
        return {file: lane for _, lanes in now.values() for file, lane in lanes.items()}


def _lanes(identity: str, arrays: Mapping[str, np.ndarray], bins: Mapping[str, int]) -> dict[str, Lane]:
    """The losses of the cells in a checkpoint, by their files; `bins`: the network steps of each cell's bins."""
    files = json.loads(identity)
    losses = arrays["sums.loss"]
    found: dict[str, Lane] = {}
    for lane, file in enumerate(files):
        if file not in bins:
            continue
        whole = int(arrays["step"]) // bins[file]
        scored = arrays["sums.weight"][lane, :whole] if "sums.weight" in arrays else np.full(whole, float(bins[file]))
        with np.errstate(divide="ignore", invalid="ignore"):  # bins in which nothing was scored
            found[file] = losses[lane, :whole] / scored, bool(arrays["diverged_at"][lane] >= 0)
    return found
