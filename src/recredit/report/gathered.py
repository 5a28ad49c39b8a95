"""What a folder of results holds, gathered for a report: curves by panel, claims, alignment, settings and versions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recredit.errors import beside
from recredit.report.figures import settings_text
from recredit.runs.contents import bin_ends, loss_in
from recredit.runs.files import read_dataset
from recredit.runs.final_loss import diverged, final_accuracy, final_loss, loss_levels, loss_unit, shown
from recredit.runs.listing import OTHER, by_run, differing, listed
from recredit.runs.record import read_netcdf
from recredit.runs.settings import Run

if TYPE_CHECKING:
    import xarray as xr

FILES = ("curves.nc", "sweep.nc", "run.nc")
"""What commands leave behind once they have ended, each read here."""
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Curve:
    """The losses of one run: a rule on a task, over its seeds."""

    name: str
    """What its line is called; the same name means the same line style in every panel."""
    run: Settings
    """All settings, as `Run.model_dump` gives them."""
    seeds: Sequence[int]
    step: np.ndarray
    """The last network step of each bin."""
    loss: np.ndarray
    """(seed, bin), in the unit of the panel; nan: not known (yet)."""
    final: np.ndarray
    """(seed): the loss at the end; nan: the seed diverged, or has not ended."""
    lost: np.ndarray
    """(seed): whether it diverged."""
    accuracy: float | None = None
    """Mean over seeds at the end, where labels are classes."""
    seconds: float | None = None
    """Mean time that a seed took."""


@dataclass(frozen=True)
class Panel:
    """Curves that share a pair of axes."""

    title: str
    unit: str
    levels: Mapping[str, float]
    """Known levels of the loss, by what is learned."""
    curves: Sequence[Curve]
    is_loss: bool = True
    """Otherwise the cosine of two gradients."""

    @property
    def all_lost(self) -> bool:
        """Whether every seed of every curve diverged, so that there is nothing to draw."""
        return all(curve.lost.all() for curve in self.curves)


@dataclass(frozen=True)
class Gathered:
    """All that a report shows except the audit."""

    title: str
    source: str
    """The file or folder that it was read from."""
    panels: Sequence[Panel]
    versions: Mapping[str, str]
    """What computed it: Python, recredit, JAX, ..."""
    claims: Mapping[str, Any] | None = None
    """As `studies.claims.judge` gives them."""
    alignment: xr.Dataset | None = None
    """As `studies.alignment.alignment` gives it."""
    remarks: Sequence[str] = ()
    """Sentences on what is missing or mixed."""


def gather(place: Path) -> Gathered:
    """What a folder of results holds, or one of the files that commands write there (`FILES`). Without any of these, the cells
    that are finished.

    Raises ValueError, one sentence, if there is nothing to report on.
    """
    if place.is_dir():
        found = [place / name for name in FILES if (place / name).is_file()]
        if not found:
            return _from_cells(place)
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise ValueError(f"{place} holds results of several commands: {names}; name one of these files.")
        place = found[0]
    elif not place.is_file():
        raise ValueError(f"{place} does not exist.{beside(place)}")
    readers = {"curves.nc": _fig1, "sweep.nc": _sweep}
    data = read_dataset(place)
    try:
        return readers.get(place.name, _run)(place, data)
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{place} is not a {' or '.join(FILES)} of this version of recredit: {error} is missing.") from None


def _fig1(file: Path, data: xr.Dataset) -> Gathered:
    runs, floors, titles = (json.loads(data.attrs[name]) for name in ("runs", "floors", "titles"))
    made_with = json.loads(data.attrs["made_with"])
    panels = []
    for task in data.task.values.tolist():
        of_task = data.sel(task=task)
        lost, final = (find(of_task, floors[task].values()) for find in (diverged, final_loss))
        curves = [
            Curve(
                rule,
                runs[f"{task}: {rule}"],
                data.seed.values.tolist(),
                data.step.values,
                of_task.loss.sel(rule=rule).values,
                final.sel(rule=rule).values,
                lost.sel(rule=rule).values,
            )
            for rule in data.rule.values.tolist()
        ]
        panels.append(Panel(titles[task], str(of_task.unit.values), floors[task], curves))
    claims = file.parent / "claims.json"
    versions = {key: value for made in made_with.values() for key, value in json.loads(made["versions"]).items()}
    versions |= {"device": ", ".join(dict.fromkeys(made["device"] for made in made_with.values()))}
    return Gathered(
        f"Fig. 1, {data.attrs['variant']} variant",
        str(file),
        panels,
        versions,
        json.loads(claims.read_text("utf-8")) if claims.is_file() else None,
    )


def _run(file: Path, data: xr.Dataset) -> Gathered:
    runs = json.loads(data.attrs["runs"])
    run = next(iter(runs.values()))
    unit, levels, scale = shown_as(run, data.attrs["head"], data.sizes["output"])
    raw = {what: level * scale for what, level in levels.items()}
    lost, final = (find(data, raw.values()) for find in (diverged, final_loss))
    accuracy = final_accuracy(data).mean("seed") if "accuracy" in data else None
    curves = [
        Curve(
            rule,
            runs[rule],
            data.seed.values.tolist(),
            data.step.values,
            data.loss.sel(rule=rule).transpose("seed", "step").values / scale,
            final.sel(rule=rule).values / scale,
            lost.sel(rule=rule).values,
            None if accuracy is None else float(accuracy.sel(rule=rule)),
            float(data.seconds.sel(rule=rule).mean()) if "seconds" in data else None,
        )
        for rule in data.rule.values.tolist()
    ]
    panels = [Panel(settings_text(run["task"]), unit, levels, curves), *_cosines(data, runs, lost)]
    summary = data if "mean_cosine" in data else None
    versions = json.loads(data.attrs["versions"]) | {"device": data.attrs["device"], "precision": data.attrs["precision"]}
    names = ", ".join(runs)
    title = (
        f"Alignment on {run['task']['name']}, {names} drives" if summary is not None else f"{names} on {run['task']['name']}"
    )
    return Gathered(title, str(file), panels, versions, alignment=summary)


def _cosines(data: xr.Dataset, runs: Mapping[str, Settings], lost: xr.DataArray) -> list[Panel]:
    """The alignment of each observer's gradient with its driver's, as it was recorded along the way."""
    if "observer" not in data.dims:
        return []
    panels = []
    for rule in data.rule.values.tolist():
        cosine = data.cosine.sel(rule=rule)
        gone = lost.sel(rule=rule).values
        curves = []
        for observer in data.observer.values.tolist():
            values = cosine.sel(observer=observer).transpose("seed", "step").values
            nothing = np.full(len(gone), np.nan)
            seeds = data.seed.values.tolist()
            curves.append(Curve(observer, runs[rule], seeds, data.step.values, values, nothing, gone))
        panels.append(Panel(f"Beside {rule}", f"cosine with the gradient of {rule}", {}, curves, is_loss=False))
    return panels


def _sweep(file: Path, data: xr.Dataset) -> Gathered:
    runs = json.loads(data.attrs["runs"])
    axes = [str(name) for name, values in data.coords.items() if values.dims == ("point",) and name != "point"]
    axes = [axis for axis in axes if axis not in ("rule", "task")]
    by_words = [axis for axis in axes if data[axis].dtype.kind in "UO"]
    found: dict[str, list[tuple[str, Curve]]] = {}
    for k, run in enumerate(runs):
        point = data.isel(point=k)
        told = [f"{_short(axis)}={point[axis].item()}" for axis in by_words if point[axis].item() != ""]
        panel = " ".join([str(point["task"].item()) if "task" in data else settings_text(run["task"]), *told])
        rule = str(point["rule"].item()) if "rule" in data else run["rule"]["name"]
        numbers = [f"{_short(axis)}={point[axis].item():g}" for axis in axes if axis not in by_words and _is_set(point[axis])]
        final = point.final_loss.values
        loss = point["loss"].values if "loss" in data else np.full((len(final), 0), np.nan)
        step = data.step.values if "loss" in data else np.zeros(0)
        share = float(point.final_accuracy.mean()) if "final_accuracy" in data else np.nan
        curve = Curve(
            rule, run, data.seed.values.tolist(), step, loss, final, np.isnan(final), share if np.isfinite(share) else None
        )
        found.setdefault(panel, []).append((" ".join([rule, *numbers]), curve))
    panels = []
    for title, curves in found.items():
        rules = [curve.name for _, curve in curves]
        named = [curve if rules.count(curve.name) == 1 else replace(curve, name=full) for full, curve in curves]
        unit, levels, _ = shown_as(curves[0][1].run)
        panels.append(Panel(title, unit, levels, named))
    return Gathered(
        data.attrs["title"].removesuffix(", computed by recredit"), str(file), panels, json.loads(data.attrs["versions"])
    )


def _short(path: str) -> str:
    return path.rpartition(".")[2]


def _is_set(value: xr.DataArray) -> bool:
    return not (value.dtype.kind == "f" and np.isnan(value.item()))


def shown_as(run: Settings, head: str | None = None, n_out: int = 1) -> tuple[str, Mapping[str, float], float]:
    """Of a run's task: the unit of its loss as shown, the known levels, and what a loss is divided by to be shown so.

    Where the task cannot be made here (its file or data are elsewhere), from its head and its number of outputs.
    """
    try:
        task = Run(**run).build_task()
    except (ValueError, TypeError, ImportError):
        scale = 1 if head == "softmax" else n_out
        unit = {"softmax": "cross-entropy (nats)", "linear": "½ mean squared error"}.get(head or "", "loss")
        return unit, {}, scale
    return loss_unit(task), loss_levels(task), 1 / shown(1.0, task)


def _from_cells(folder: Path) -> Gathered:
    """The finished cells of a folder in which no command has ended."""
    cells = [cell for cell in listed(folder) if cell.record]
    if not cells:
        raise ValueError(f"{folder} holds no finished seed yet; recredit watch {folder} shows the progress.")
    runs = by_run(cells)
    keys = [key for key in differing([run for run, _ in runs]) if not key.startswith("task")]
    panels: dict[str, list[Curve]] = {}
    for settings, seeds in runs:
        run = seeds[0].record["identity"]["run"]
        told = [f"{_short(key)}={settings[key]}" for key in keys if key in settings]
        others = ["(another version)"] if seeds[0].state == OTHER else []
        name = " ".join([run["rule"]["name"], *told, *others])
        panels.setdefault(settings_text(run["task"]), []).append(_finished(name, run, seeds))
    made = cells[0].record["versions"]
    remark = f"The command in {folder} has not ended: these are its {len(cells)} finished seeds."
    shown_panels = [Panel(title, *shown_as(curves[0].run)[:2], curves) for title, curves in panels.items()]
    return Gathered(f"Results in {folder.name}", str(folder), shown_panels, made, remarks=[remark])


def _finished(name: str, run: Settings, cells: Sequence[Any]) -> Curve:
    cells = sorted(cells, key=lambda cell: cell.settings["seed"])
    _, _, scale = shown_as(run)
    losses = np.array([loss_in(cell.record, read_netcdf(cell.path)[1]) for cell in cells]) / scale
    final = np.array([np.nan if cell.record["diverged"] else cell.record["final_loss"] for cell in cells], float)
    lost = np.array([cell.record["diverged"] for cell in cells])
    seconds = float(np.mean([cell.record["seconds"] for cell in cells]))
    seeds = [cell.settings["seed"] for cell in cells]
    return Curve(name, run, seeds, np.array(bin_ends(run)), losses, final, lost, seconds=seconds)
