"""The whole state of each learner at the end of its training, kept beside its cell, from which it can go on.

DIR/states/CELL.ckpt   a checkpoint (`recredit.runs.checkpoint`) of this seed alone: as many bytes as its learner
"""

from collections.abc import Sequence
from pathlib import Path

from recredit.runs.checkpoint import read_checkpoint, write_checkpoint
from recredit.runs.files import make_folder
from recredit.runs.identity import Cell
from recredit.training.carried import Arrays, one_lane, shared_by_lanes
from recredit.training.step import Trainer

MOST = 100e6  # bytes of a learner whose state is kept: RTRL's has 0.3 MB at n = 32, and 0.5 GB at n = 512


def write_states(folder: Path, cells: Sequence[Cell], trainer: Trainer, arrays: Arrays) -> None:
    """Write what each of some cells carried at the end, unless it is too much. `arrays`: of all, in the cells' order."""
    if trainer.size > MOST:
        return
    shared = shared_by_lanes(trainer)
    for i, cell in enumerate(cells):
        write_checkpoint(_path(make_folder(folder / "states"), cell.file), cell.file, one_lane(arrays, i, shared))


def read_state(folder: Path, cell: str) -> Arrays:
    """What a cell, by its file's name, carried at the end. Raises ValueError if that was not kept, or is damaged."""
    path, said = _path(folder / "states", cell), []
    if (found := read_checkpoint(path, said.append)) is None or found[0] != cell:
        why = "is damaged" if said or found else "is not there"
        raise ValueError(f"{folder} cannot be continued: {path.relative_to(folder)}, the state of a learner, {why}.")
    return found[1]


def _path(states: Path, cell: str) -> Path:
    return states / Path(cell).with_suffix(".ckpt").name
