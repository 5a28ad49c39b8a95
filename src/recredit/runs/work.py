"""What a worker does: train the cells of a job, and put them in their folder."""

import contextlib
import ctypes
import gc
import json
import time
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import jax
import numpy as np

from recredit.runs.checkpoint import Keeper, read_checkpoint
from recredit.runs.ending import stop_on_sigterm
from recredit.runs.identity import Cell
from recredit.runs.plan import Job
from recredit.runs.recorded import Recorder
from recredit.runs.running import Report
from recredit.runs.start import start_state, start_weights
from recredit.runs.states import write_states
from recredit.runs.store import write_cells
from recredit.training.carried import UnfitError
from recredit.training.lanes import pack_key
from recredit.training.pack import Member, train_pack
from recredit.training.sizes import pack_lanes
from recredit.training.step import Trainer

KINDS = 4  # of programs that a worker keeps: those of rules on one task share a part
Trainers = dict[str, tuple[Trainer, list[str]]]
"""Of each run, by its text: its trainer, and what its rules are called."""


_kept: set[Hashable] = set()  # the kinds of the programs that are kept


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def work(job: Job) -> None:
    """Train what is missing of a job's cells, and write them.

    It goes on from checkpoints in the folder, and writes them now and then, before the cells, and when the process is asked to
    end, which raises StoppedError. Raises ValueError, one sentence, if something fails; cells that are written stay.
    """
    stop_on_sigterm()
    report = Report(job)
    done = 0
    try:
        trainers = _trainers(job)
        _forget_others({pack_key(trainer) for trainer, _ in trainers.values()})
        for number, pack in enumerate(_packs(job, trainers)):
            file = job.checkpoint(number)
            if left := [cell for cell in pack if not cell.path(job.folder).exists()]:
                _train(job, trainers, pack, left, file, report, done)
            file.unlink(missing_ok=True)
            done += sum(cell.run.steps for cell in pack)
    finally:
        report.end()


def _forget_others(keys: set[Hashable]) -> None:
    """Forget all compiled programs, tens of MB each, if they would be of too many kinds."""
    if _kept and len(_kept | keys) > KINDS:
        jax.clear_caches()
        gc.collect()  # their traces are full of cycles
        _give_back()
        _kept.clear()
    _kept.update(keys)


def _give_back() -> None:
    """Have glibc give freed memory back, of which it keeps hundreds of MB after some compilations."""
    with contextlib.suppress(OSError, TypeError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _trainers(job: Job) -> Trainers:
    found: Trainers = {}
    for run in (cell.run for cell in job.cells):
        if run.text() not in found:
            found[run.text()] = run.trainer()
    return found


def _packs(job: Job, trainers: Trainers) -> Iterator[list[Cell]]:
    """The cells that are vectorised together; whatever is missing, they are the same."""
    groups: dict[Hashable, list[Cell]] = defaultdict(list)
    for cell in job.cells:
        groups[pack_key(trainers[cell.run.text()][0])].append(cell)
    for cells in groups.values():
        most = job.seeds_at_once or pack_lanes(cells[0].run.learner_bytes(), len(cells))
        for part in np.array_split(np.arange(len(cells)), -(-len(cells) // most)):
            yield [cells[k] for k in part]


def _train(
    job: Job, trainers: Trainers, pack: Sequence[Cell], left: Sequence[Cell], file: Path, report: Report, done: int
) -> None:
    """Train what is `left` of a pack, or what a checkpoint has begun."""
    begun, began = now(), time.perf_counter()
    cells, arrays = _begun(job.folder, file, pack, left)
    by_run: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_run[cell.run.text()].append(cell)
    runs = [same[0].run for same in by_run.values()]
    seeds = [[cell.seed for cell in same] for same in by_run.values()]
    weights = [start_weights(run, each) for run, each in zip(runs, seeds, strict=True)]
    members = [
        Member(trainers[text][0], each, trainers[text][1], start)
        for text, each, start in zip(by_run, seeds, weights, strict=True)
    ]
    recorder = Recorder(job.folder, [cell for same in by_run.values() for cell in same])
    if arrays is None:
        recorder.discard()  # of an attempt that ended before its first checkpoint, or what is no such file
        arrays = start_state([*zip(runs, seeds, strict=True)], members[0].trainer)
    share = sum(cell.run.steps for cell in pack) // runs[0].steps
    keeper = Keeper(
        file,
        json.dumps([cell.file for cell in cells]),
        runs[0].steps,
        lambda steps: report.tell(done + share * steps),
        recorder.sync,
    )
    try:
        results = train_pack(members, runs[0].steps, runs[0].bin, begin=arrays, at_end=keeper, keep=recorder.keep)
    except UnfitError as error:
        if not file.exists():
            raise
        print(f"{file} cannot be resumed ({error}): its cells are trained from the beginning.")
        file.unlink()
        _train(job, trainers, pack, left, file, report, done)
        return
    except ValueError:
        if not file.exists():  # what was recorded is of no use: nothing goes on from here
            with contextlib.suppress(ValueError):
                recorder.discard()
        raise
    recorder.end([at for data in results for at in data.diverged_at.values.tolist()])
    each = (time.perf_counter() - began) / len(cells)
    made = {"begun": begun, "ended": now(), "seconds": each, "device": jax.devices()[0].device_kind}
    if job.keeps_states and (last := read_checkpoint(file, print)):
        write_states(job.folder, cells, members[0].trainer, last[1])
    for run, data in zip(runs, results, strict=True):
        meaning = {"long_name": "time that the seeds computed together took, shared evenly", "units": "s"}
        data["seconds"] = ("seed", np.full(data.sizes["seed"], each), meaning)
        write_cells(job.folder, run, data, made)


def _begun(
    folder: Path, file: Path, pack: Sequence[Cell], left: Sequence[Cell]
) -> tuple[Sequence[Cell], dict[str, np.ndarray] | None]:
    """The cells that a checkpoint has begun, and its arrays; without a sound one, those that are left, from the beginning."""
    if (found := read_checkpoint(file, print)) is None:
        return left, None
    names, known = json.loads(found[0]), {cell.file: cell for cell in pack}
    if not {cell.file for cell in left} <= set(names) <= known.keys():
        return left, None
    cells = [known[name] for name in names]
    if not Recorder(folder, cells).is_begun():
        print(f"{file} cannot be resumed (what was recorded is gone): its cells are trained from the beginning.")
        return left, None
    return cells, found[1]
