"""The store: a cell is one file that says what it is, and is believed only if it is whole and this program's."""

import errno
import io
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import recredit
from recredit.runs import contents, identity, lock, record, store
from recredit.runs.files import tidy, writable_folder, write_whole
from recredit.runs.identity import Cell, difference, program, source_digest, versions
from recredit.runs.lock import locked
from recredit.runs.record import DamagedError, read_netcdf, read_record, sealed
from recredit.runs.settings import Run
from recredit.runs.store import missing, read_cells, read_losses, write_cells
from recredit.training.loop import train

TABLE = {"rule": "rflo", "task": "add", "network": {"n": 4}, "steps": 300, "bin": 100, "observers": {"rtrl": "rtrl"}}
RUN = Run.create(TABLE)
MADE = {"begun": "2026-01-02T03:04:05+00:00", "ended": "2026-01-02T03:04:06+00:00", "seconds": 0.5, "device": "cpu"}


def trained(run, seeds):
    rule, network, optimizer, observers = run.build()
    given = {"network": network, "optimizer": optimizer, "observers": observers, "steps": run.steps, "bin": run.bin}
    return train(rule, run.build_task(), seeds=seeds, **given).assign(seconds=("seed", np.full(len(seeds), 0.5)))


DATA = trained(RUN, [0, 1, 2])


@pytest.fixture
def folder(tmp_path):
    """A folder, which might be an address, with three cells of one run."""
    write_cells(writable_folder(tmp_path / "a::b"), RUN, DATA, MADE)
    return tmp_path / "a::b"


def path_of(folder, seed=0, run=RUN):
    return folder / "cells" / Cell(run, seed).file


def silent(sentence):
    pytest.fail(f"this was said: {sentence}")


def test_a_cell_comes_back_as_it_was_and_no_other_is_missing(folder):
    assert missing(folder, {"rflo": RUN}, [0, 1, 2], silent) == {}
    assert missing(folder, {"rflo": RUN}, [4, 1, 3], silent) == {"rflo": [4, 3]}
    back = read_cells(folder, RUN, [2, 0])
    xr.testing.assert_identical(back.drop_attrs(deep=False), DATA.sel(seed=[2, 0]).drop_attrs(deep=False))
    assert back.attrs == DATA.attrs | {"run": RUN.text(), "versions": json.dumps(versions()), "device": "cpu"}
    told = read_record(path_of(folder, 1))
    assert told["identity"] == Cell(RUN, 1).identity()
    assert told.items() > MADE.items()
    assert (told["diverged"], told["host"]) == (False, os.uname().nodename)
    assert told["final_loss"] == float(DATA.loss.sel(seed=1).isel(step=-1))


@pytest.mark.parametrize("engine", ["h5netcdf", None])
def test_whatever_reads_netcdf_opens_a_cell(folder, engine):
    with xr.open_dataset(path_of(folder, 2).absolute(), engine=engine) as data:
        xr.testing.assert_identical(data.drop_attrs(deep=False), DATA.sel(seed=[2]).drop_attrs(deep=False))
    with h5py.File(path_of(folder, 2)) as file:
        np.testing.assert_array_equal(file["W"][()], DATA.W.sel(seed=[2]))


def test_a_vanished_cell_is_told_of(folder):
    path_of(folder, 1).unlink()
    with pytest.raises(ValueError, match="seed 1 is gone"):
        read_cells(folder, RUN, [0, 1])


# Damage


def bits_flipped(content, rng):
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def bytes_overwritten(content, rng):
    at, size = rng.randrange(len(content)), rng.randrange(1, 200)
    new = content[:at] + rng.randbytes(size) + content[at + size :]
    return new if new != content else b""


DAMAGE = [
    bits_flipped,
    bytes_overwritten,
    lambda content, rng: content[: rng.randrange(len(content))],
    lambda content, rng: content + rng.randbytes(rng.randrange(1, 100)),
]


def test_none_of_400_damaged_copies_reaches_a_library(folder, monkeypatch):
    path, rng = path_of(folder), random.Random(0)
    content = path.read_bytes()
    monkeypatch.setattr(contents.Seeds, "add", silent)
    for i in range(400):
        path.write_bytes(DAMAGE[i % 4](content, rng))
        with pytest.raises(DamagedError):
            read_netcdf(path)
    path.write_bytes(content)
    read_netcdf(path)


def edited(edit):
    """A cell's file, edited by xarray as a user might, who knows nothing of its end."""

    def apply(path):
        data = xr.load_dataset(path, engine="h5netcdf")
        path.unlink()
        edit(data).to_netcdf(path, engine="h5netcdf")

    return apply


def resealed(edit):
    """The same by someone who seals it again."""

    def apply(path):
        told, _ = read_netcdf(path)
        netcdf = bytes(edit(xr.load_dataset(path, engine="h5netcdf")).to_netcdf(engine="h5netcdf"))
        path.write_bytes(sealed(netcdf, {k: v for k, v in told.items() if k not in ("size", "sha256")}))

    return apply


def as_the_other_seed(path):
    shutil.copy(next(other for other in path.parent.iterdir() if other != path), path)


EDITS = {
    "without W": lambda data: data.drop_vars("W"),
    "without diverged_at": lambda data: data.drop_vars("diverged_at"),
    "half the steps": lambda data: data.isel(step=slice(2)),
    "another seed": lambda data: data.assign_coords(seed=[7]),
    "smaller": lambda data: data.isel(unit=slice(3)),
    "other observers": lambda data: data.assign_coords(observer=["uoro"]),
    "transposed": lambda data: data.transpose("step", "seed", ...),
}
BROKEN = {
    **{what: edited(edit) for what, edit in EDITS.items()},
    "loss overwritten": edited(lambda data: data.assign(loss=0 * data.loss + 99)),
    "another cell": as_the_other_seed,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("results " * 1000),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_not_whole_is_set_aside_told_and_missing(folder, what):
    BROKEN[what](path_of(folder, 1))
    told = []
    for _ in range(2):  # the second time it is missing, and nothing is to be said
        assert missing(folder, {"rflo": RUN}, [0, 1, 2], told.append) == {"rflo": [1]}
    (sentence,) = told
    assert re.search(rf"^Damaged in .*cells: {path_of(folder, 1).name}: it.*computed again\.$", sentence)
    assert [path.name for path in (folder / "damaged").iterdir()] == [path_of(folder, 1).name]


def test_many_damaged_cells_are_told_of_in_one_sentence_and_none_is_lost(folder):
    told = []
    for content in (b"one", b"two"):
        for seed in range(3):
            path_of(folder, seed).write_bytes(content)
        missing(folder, {"rflo": RUN}, [0, 1, 2], told.append)
    assert [", and 2 more; they are now in" in sentence for sentence in told] == [True, True]
    assert sorted(path.read_bytes() for path in (folder / "damaged").iterdir()) == [b"one"] * 3 + [b"two"] * 3


@pytest.mark.parametrize("what", EDITS)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_sealed_and_not_what_its_run_says_is_set_aside_too(folder, what, seed):
    resealed(EDITS[what])(path_of(folder, seed))
    with pytest.raises(ValueError, match=f"{path_of(folder, seed).name} is damaged: it"):
        read_cells(folder, RUN, [0, 1, 2])
    assert missing(folder, {"rflo": RUN}, [0, 1, 2], silent) == {"rflo": [seed]}
    assert [path.name for path in (folder / "damaged").iterdir()] == [path_of(folder, seed).name]


@pytest.mark.parametrize("what", ["half the steps", "another seed", "transposed"])
def test_losses_are_read_only_of_what_is_what_its_run_says(folder, what):
    assert np.array_equal(read_losses(folder, RUN, [2, 0]), DATA.loss.sel(seed=[2, 0]))
    resealed(EDITS[what])(path_of(folder, 1))
    with pytest.raises(ValueError, match=f"{path_of(folder, 1).name} is damaged: its loss, step or seed"):
        read_losses(folder, RUN, [0, 1, 2])
    assert missing(folder, {"rflo": RUN}, [0, 1, 2], silent) == {"rflo": [1]}


def test_runs_of_one_shape_are_each_written_as_what_they_are(folder):
    longer = Run.create(TABLE | {"steps": 600, "bin": 200})
    faster = Run.create(TABLE | {"steps": 600, "bin": 200, "optimizer": {"learning_rate": 0.25}})
    made = {run.text(): trained(run, [5, 3]) for run in (longer, faster)}
    for run in (longer, faster):
        write_cells(folder, run, made[run.text()], MADE)
    for run in (longer, faster):
        back, data = read_cells(folder, run, [3, 5]), made[run.text()].sel(seed=[3, 5])
        xr.testing.assert_identical(back.drop_attrs(deep=False), data.drop_attrs(deep=False))
        cell = xr.load_dataset(path_of(folder, 5, run), engine="h5netcdf")
        assert cell.attrs["run"] == back.attrs["run"] == run.text()
        assert np.array_equal(read_losses(folder, run, [3, 5]), data.loss)


# Other programs


def test_cells_of_another_version_or_precision_are_kept_not_used_and_told_of(folder, monkeypatch):
    before = sorted(path.name for path in (folder / "cells").iterdir())
    monkeypatch.setattr(identity, "precision", lambda: "float16")
    monkeypatch.setattr(store, "precision", lambda: "float16")
    told = []
    assert missing(folder, {"rflo": RUN}, [0, 1, 5], told.append) == {"rflo": [0, 1, 5]}
    now = f"(precision {DATA.W.dtype}, now float16)"
    assert told == [f"2 cells in {folder} were made by another version {now}: they are kept, not used."]
    write_cells(folder, RUN, DATA, MADE)
    assert missing(folder, {"rflo": RUN}, [0, 1, 2], silent) == {}
    assert {*before} < {path.name for path in (folder / "cells").iterdir()}


def test_versions_beneath_are_named_in_what_differs():
    ours, jax = program(), program()["jax"]
    for changed, told in {("source",): "another source of recredit", ("source", "jax"): f"jax 0, now {jax}"}.items():
        assert difference(ours | dict.fromkeys(changed, "0"), ours) == told


COMMAND = "from recredit.cli.main import main; main()"
TINY = ("train", "--rule", "rflo", "--task", "add", "--steps", "200", "--set", "network.n=4", "--out", "out")


def ran(*arguments, source=None, **environment):
    """What a command prints that ends well, of a recredit whose source lies in a folder."""
    env = os.environ | {"PYTHONPATH": str(source or Path(recredit.__file__).parents[1])} | environment
    done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.slow
def test_a_changed_rule_of_a_working_copy_is_trained_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(recredit.__file__).parent, tmp_path / "src" / "recredit", ignore=shutil.ignore_patterns("__pycache__"))
    ran(*TINY, "--seeds", "2", source=tmp_path / "src")
    first = xr.load_dataset("out/run.nc")
    rule = tmp_path / "src/recredit/rules/rflo.py"
    with rule.open("a") as file:
        file.write("\nupdate = RFLO.update\nRFLO.update = lambda *given: (100 * update(*given)[0], update(*given)[1])\n")
    told = ran(*TINY, "--seeds", "3", source=tmp_path / "src")
    assert "2 cells in out were made by another version (another source of recredit): they are kept, not used." in told
    second = xr.load_dataset("out/run.nc")
    assert (second.W.sel(seed=[0, 1]) != first.W).any(["rule", "unit", "source"]).all()
    made_with = [json.loads(data.attrs["versions"]) for data in (first, second)]
    assert made_with[0] == {**made_with[1], "source": source_digest(Path(recredit.__file__).parent)} != made_with[1]


@pytest.mark.slow
def test_seeds_of_another_precision_are_not_mixed_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran(*TINY, "--seeds", "2", JAX_ENABLE_X64="1")
    told = ran(*TINY, "--seeds", "3", JAX_ENABLE_X64="0")
    assert "2 cells in out were made by another version (precision float64, now float32): they are kept, not used." in told
    data = xr.load_dataset("out/run.nc")
    assert (data.attrs["precision"], data.W.dtype, data.sizes["seed"]) == ("float32", "float32", 3)


@pytest.mark.parametrize("room", identity.ROOMS)
def test_every_source_that_decides_numbers_counts(tmp_path, room):
    package = tmp_path / "recredit"
    shutil.copytree(Path(recredit.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = source_digest(package)
    (package / "cli" / "main.py").write_text("")
    assert source_digest(package) == before
    file = next(iter(sorted((package / room).rglob("*.py"))), package / room)
    file.write_text(file.read_text() + "#")
    assert source_digest(package) != before


# Writing


def test_what_an_ended_process_left_half_written_goes_and_nothing_else(folder):
    kept = sorted([*folder.rglob("*")])
    for place in (folder / ".recredit-x.nc", folder / "cells" / ".recredit-y.nc"):
        place.write_bytes(b"half")
    (folder / ".gitignore").write_text("*")
    tidy(folder)
    assert sorted(folder.rglob("*")) == sorted([*kept, folder / ".gitignore"])


def test_a_process_killed_while_it_writes_leaves_only_what_tidy_removes(tmp_path):
    script = (
        "import os, pathlib; from recredit.runs.files import write_whole\n"
        "os.replace = lambda *_: os.kill(os.getpid(), 9)\n"
        "write_whole(pathlib.Path('a.nc'), b'new')"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"new"
    tidy(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_file_then_its_name_are_on_the_disk_before_a_write_returns(tmp_path, monkeypatch):
    done = []
    sync, move = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("move"), move(*names)))
    write_whole(tmp_path / "a.nc", b"new")
    assert done[0].startswith(str(tmp_path / ".recredit-"))
    assert done[1:] == ["move", str(tmp_path)]


LATER = DATA.assign_coords(seed=DATA.seed + 10)


def test_no_hard_link_is_made(folder, monkeypatch):
    monkeypatch.setattr(os, "link", silent)
    write_cells(folder, RUN, LATER, MADE)
    assert Cell(RUN, 10).path(folder).exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO], ids=os.strerror)
def test_a_disk_that_refuses_to_sync_ends_in_a_sentence_and_nothing_half_written(folder, monkeypatch, number):
    def fail(_):
        raise OSError(number, os.strerror(number))

    before = {path: path.read_bytes() for path in (folder / "cells").iterdir()}
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ValueError, match=rf"^(no space left in|cannot write) .*{Cell(RUN, 10).file}.*\.$"):
        write_cells(folder, RUN, LATER, MADE)
    assert {path: path.read_bytes() for path in (folder / "cells").iterdir()} == before


def test_a_folder_that_is_gone_is_told_of(folder):
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match=r"cells is gone\.$"):
        write_cells(folder, RUN, DATA, MADE)


# One at a time


def hold(folder, held, let_go):
    with locked(folder, print):
        held.set()
        let_go.wait()


def test_a_second_process_is_refused_and_told_who_computes_there(folder):
    spawn = multiprocessing.get_context("spawn")
    held, let_go = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(folder, held, let_go), daemon=True)
    other.start()
    held.wait()
    who = rf"\(process {other.pid} on {re.escape(os.uname().nodename)}, since 20.*\+00:00\)"
    with pytest.raises(ValueError, match=rf"^another recredit computes in .*{who}; let it end.*\.$"), locked(folder, silent):
        pass
    other.kill()  # at which the system lets go of the lock
    other.join()
    with locked(folder, silent) as sure:
        assert sure
        assert json.loads((folder / "lock").read_text())["pid"] == os.getpid()


def test_without_locks_of_the_file_system_that_is_said_and_work_goes_on(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    told = []
    with locked(folder, told.append) as sure:
        assert not sure
    assert told == [
        f"The file system of {folder} has no locks: make sure that no second command computes there at the same time."
    ]


# Many


def test_what_is_asked_of_a_folder_of_many_cells_opens_only_the_cells_asked_for(folder, monkeypatch):
    for i in range(400):
        (folder / "cells" / f"{i:020}-{i:012}.nc").write_bytes(b"")
    read = []
    real = record.real_file
    monkeypatch.setattr(record, "real_file", lambda path: (read.append(path), real(path))[1])
    assert missing(folder, {"rflo": RUN}, [0, 1, 2, 3], silent) == {"rflo": [3]}
    read_cells(folder, RUN, [0, 1, 2])
    assert len(read) == 6


def test_a_list_of_cells_reads_their_ends_only(folder, monkeypatch):
    with open(path_of(folder, 1), "r+b") as file:
        file.write(b"damaged")
    sizes = []

    class Noting(io.FileIO):
        def read(self, size=-1, /):
            sizes.append(size)
            return super().read(size)

    monkeypatch.setattr(record, "_opened", Noting)
    assert {path: told["identity"]["seed"] for path, told in record.records(folder)} == {
        path_of(folder, i): i for i in range(3)
    }
    assert sizes == [4096] * 3
