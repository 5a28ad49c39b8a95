"""`recredit results`: what a folder holds, as a table, as data, and in one file."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_store import MADE, RUN, TABLE, path_of, trained

from recredit.cli.main import main
from recredit.report.results import spans
from recredit.runs import identity, listing
from recredit.runs.files import writable_folder
from recredit.runs.settings import Run
from recredit.runs.store import write_cells

OTHER = Run.create({**TABLE, "optimizer": {"learning_rate": 0.5}, "network": {"n": 3}, "bin": 150, "observers": {}})
FIXED = Run.create({**TABLE, "rule": "fixed_w"})
DATA = {run.text(): trained(run, [0, 1, 3]) for run in (RUN, OTHER, FIXED)}
DATA[FIXED.text()].diverged_at[1] = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three runs, of two rules and shapes, with three seeds each, one of which diverged; and what is no cell."""
    folder = writable_folder(tmp_path_factory.mktemp("results"))
    for run in (RUN, OTHER, FIXED):
        write_cells(folder, run, DATA[run.text()], MADE)
    (folder / "cells" / "notes.nc").write_text("no cell")
    (folder / "cells" / ".recredit-x.nc").write_text("half a cell")
    return folder


def results(capfd, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["results", *map(str, arguments)])
    out, err = capfd.readouterr()
    assert (end.value.code, err) == (0, "")
    return out


def refused(capfd, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["results", *map(str, arguments)])
    out, err = capfd.readouterr()
    assert (end.value.code, out, err.count("\n")) == (2, "", 1)
    return err


RUNS = ("fixed_w add", "rflo add bin=100", "rflo add bin=150")


def test_the_table_has_a_line_for_each_run_within_80_columns(capfd, folder):
    told = results(capfd, folder)
    assert max(map(len, told.splitlines())) <= 80
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert lines[0] == "rule task settings seeds state final loss ended"
    fixed, slow, fast = (next(i for i, line in enumerate(lines) if line.startswith(begin)) for begin in RUNS)
    assert fixed < slow < fast
    assert "0–1, 3 1 diverged 0." in lines[fixed]
    assert f"0–1, 3 done {float(DATA[OTHER.text()].loss.isel(step=-1).mean()):.4g} 2026-01-02" in lines[fast]
    assert "learning_rate=0.5" in lines[fast:]
    assert lines[-2] == "Damaged, 1: notes.nc: it is cut short, or not a file of recredit."
    assert lines[-1].startswith("10 cells, computed on ")


def test_what_is_listed_can_be_chosen_by_settings_whole_or_by_their_ends(capfd, folder):
    def files(*where):
        return {each["file"] for each in json.loads(results(capfd, folder, "--where", *where, "--format", "json"))}

    names = {run.text(): {path_of(folder, seed, run).name for seed in (0, 1, 3)} for run in (RUN, OTHER, FIXED)}
    assert files("rule=fixed_w") == names[FIXED.text()]
    assert files("rule=rflo", "network.n=3") == files("learning_rate=0.5") == names[OTHER.text()]
    assert files("seed=3", "seed=1", "rule=rflo", "n=4") == {path_of(folder, seed).name for seed in (1, 3)}
    assert files("state=diverged") == {path_of(folder, 1, FIXED).name}
    assert files("state=damaged") == {"notes.nc"}
    assert "no cell in" in refused(capfd, folder, "--where", "rule.windw=3")
    assert 'Did you mean "optimizer.learning_rate"?' in refused(capfd, folder, "--where", "optimizer.learning_rat=3")
    assert "is not a setting; write path=value" in refused(capfd, folder, "--where", "rflo")


def test_csv_has_a_row_for_each_cell_with_every_setting(capfd, folder):
    rows = list(csv.DictReader(io.StringIO(results(capfd, folder, "--format", "csv"))))
    assert len(rows) == 10
    (row,) = (row for row in rows if row["file"] == path_of(folder, 3, OTHER).name)
    assert (row["rule"], row["optimizer.learning_rate"], row["network.n"], row["seed"]) == ("rflo", "0.5", "3", "3")
    assert float(row["final_loss"]) == float(DATA[OTHER.text()].loss.sel(seed=3).isel(step=-1))
    assert row["version.jax"] == identity.program()["jax"]


def test_cells_of_another_version_have_lines_of_their_own(capfd, folder, monkeypatch):
    monkeypatch.setattr(listing, "program", lambda: identity.program() | {"jax": "99"})
    told = results(capfd, folder, "--where", "rule=fixed_w")
    assert "other version" in told
    assert f"Other version, 3: jax {identity.program()['jax']}, now 99." in told


@pytest.mark.parametrize("content", ["nothing", "folder", "file", "empty"])
def test_a_folder_without_results_is_told_of(capfd, tmp_path, content):
    if content == "empty":
        (tmp_path / "cells").mkdir()
        assert results(capfd, tmp_path) == "0 cells.\n"
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / "a-0.ckpt").touch()
        told = f"Others have begun, and have checkpoints: recredit watch {tmp_path} shows how far they are.\n"
        assert results(capfd, tmp_path) == "0 cells.\n" + told
    else:
        (tmp_path / "file").touch()
        told = refused(capfd, {"folder": tmp_path, "file": tmp_path / "file", "nothing": tmp_path / "none"}[content])
        assert {"folder": "it has no folder cells", "file": "it is a file", "nothing": "does not exist"}[content] in told


def test_a_list_needs_no_jax_and_no_hdf5():
    script = "import sys, recredit.cli.results; print(*{'jax', 'h5py', 'xarray', 'pandas'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "\n"


# One file


def test_netcdf_holds_all_cells_of_all_shapes(capfd, folder, tmp_path):
    told = results(capfd, "export", folder, tmp_path / "all.nc")
    assert told.splitlines()[-1] == f"Wrote 9 cells to {tmp_path / 'all.nc'}."
    data = xr.load_dataset(tmp_path / "all.nc")
    assert data.sizes["cell"] == 9
    for run in (RUN, OTHER, FIXED):
        for seed in (0, 1, 3):
            cell = data.isel(cell=data.file.values.tolist().index(path_of(folder, seed, run).name))
            own = DATA[run.text()].sel(seed=seed)
            assert (cell["optimizer.learning_rate"], cell.seed) == (run.optimizer["learning_rate"], seed)
            np.testing.assert_array_equal(cell.loss.sel(step=own.step), own.loss)
            np.testing.assert_array_equal(cell.W.sel(unit=own.unit, source=own.source), own.W)
    assert np.isnan(data.loss.isel(cell=data["network.n"] == 3).sel(step=100)).all()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_has_a_row_for_each_point_of_each_curve(capfd, folder, tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    file = tmp_path / f"all.{ending}"
    results(capfd, "export", folder, file, "--where", "rule=rflo")
    table = pd.read_csv(file) if ending == "csv" else pd.read_parquet(file)
    assert len(table) == 3 * 3 + 3 * 2
    curves = table.set_index(["network.n", "seed", "step"]).sort_index()
    for run in (RUN, OTHER):
        own = DATA[run.text()]
        for seed in (0, 1, 3):
            np.testing.assert_allclose(curves.loc[(run.network["n"], seed)].loss, own.loss.sel(seed=seed), rtol=1e-12)
    observed = DATA[RUN.text()].cosine.sel(seed=3, observer="rtrl")
    np.testing.assert_allclose(curves.loc[(4, 3)]["cosine.rtrl"], observed, rtol=1e-12)
    assert curves.loc[(3, 0)]["cosine.rtrl"].isna().all()


def test_what_cannot_be_exported_is_refused_in_a_sentence(capfd, folder, tmp_path, monkeypatch):
    told = refused(capfd, "export", folder, tmp_path / "all.parquett")
    assert 'must end in .nc, .parquet, .csv, which says what to write. Did you mean ".parquet"?' in told
    assert "no cell matches" in refused(capfd, "export", folder, tmp_path / "all.nc", "--where", "seed=17")
    assert "cannot write to the folder" in refused(capfd, "export", folder, tmp_path / "none" / "all.nc")
    cell = path_of(folder, 1, OTHER)
    whole = cell.read_bytes()
    assert "would be among the cells of" in refused(capfd, "export", folder, cell)
    assert cell.read_bytes() == whole
    monkeypatch.setattr("recredit.studies.export.find_spec", lambda _: None)
    assert 'pip install "recredit[parquet]"' in refused(capfd, "export", folder, tmp_path / "all.parquet")
    assert not list(tmp_path.iterdir())


def test_the_source_of_a_rule_differs_only_between_runs_of_that_rule():
    own, others = {"rule": "Mine", "sources.Mine": "0a"}, {"rule": "rflo"}
    assert listing.differing([own, others]) == []
    assert listing.differing([own, others, {**own, "sources.Mine": "1b"}]) == ["sources.Mine"]


def test_numbers_that_follow_each_other_are_drawn_together():
    assert spans([3, 0, 1, 2, 7, 9, 8]) == "0–3, 7–9"
    assert spans([5]) == "5"
