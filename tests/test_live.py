"""The report as a page that follows a command: what it shows on the way, whom it answers, and how it ends."""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from browser import chromium as chromium
from browser import needs_chromium

from recredit.cli.live import PREPARING, LivePage
from recredit.report.so_far import SoFar
from recredit.runs import checkpoint
from recredit.runs.checkpoint import read_checkpoint, write_checkpoint
from recredit.runs.identity import Cell
from recredit.runs.plan import Job
from recredit.runs.settings import Run
from recredit.runs.store import read_losses
from recredit.runs.work import work

RUNS = {
    "mimic: fixed_w": Run.create({"rule": "fixed_w", "task": "mimic", "network": {"n": 4}, "steps": 600, "bin": 100}),
    "flip_flop: fixed_w": Run.create({"rule": "fixed_w", "task": "flip_flop", "network": {"n": 4}, "steps": 600, "bin": 100}),
}


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """A folder in which both runs are done, and the last checkpoint of each, which is what it would be in another folder."""
    folder, kept = tmp_path_factory.mktemp("computed"), {}
    (folder / "cells").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        write = checkpoint.write_checkpoint

        def keeping(path, identity, arrays):
            kept[path.name] = identity, dict(arrays)
            write(path, identity, arrays)

        patch.setattr(checkpoint, "write_checkpoint", keeping)
        for label, run in RUNS.items():
            work(Job(folder, tuple(Cell(run, seed) for seed in (0, 1)), (label, label), 1.0))
    return folder, kept


def test_before_anything_is_done_every_curve_is_empty(tmp_path):
    found = SoFar(tmp_path, "title", RUNS, [0, 1]).read()
    assert [curve.name for panel in found.panels for curve in panel.curves] == ["fixed_w", "fixed_w"]
    assert all(np.isnan(curve.loss).all() and not curve.lost.any() for panel in found.panels for curve in panel.curves)


def test_a_checkpoint_tells_the_bins_that_are_complete_as_the_finished_cell_does(computed, tmp_path):
    folder, kept = computed
    assert len(kept) == 2
    for name, (identity, arrays) in kept.items():
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        write_checkpoint(tmp_path / "checkpoints" / name, identity, {**arrays, "step": np.array(250)})
        assert read_checkpoint(tmp_path / "checkpoints" / name, print)
    whole, begun = (SoFar(each, "title", RUNS, [0, 1]).read() for each in (folder, tmp_path))
    for run, done, now in zip(RUNS.values(), whole.panels, begun.panels, strict=True):
        n_out = run.build_task().n_out
        np.testing.assert_allclose(done.curves[0].loss, read_losses(folder, run, [0, 1]) / n_out, rtol=1e-12)
        np.testing.assert_allclose(now.curves[0].loss[:, :2], done.curves[0].loss[:, :2], rtol=1e-12)
        assert np.isnan(now.curves[0].loss[:, 2:]).all()
        assert np.isfinite(done.curves[0].final).all()
        assert np.isnan(now.curves[0].final).all()


@pytest.fixture
def served(tmp_path):
    page = LivePage(tmp_path)
    threading.Thread(target=page.server.serve_forever, daemon=True).start()
    yield page
    page.server.shutdown()
    page.server.server_close()


def get(page, path="/", host=None):
    connection = http.client.HTTPConnection(*page.server.server_address)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_it_answers_this_machine_alone_under_its_own_name_and_nothing_but_the_page(served):
    assert served.server.server_address[0] == "127.0.0.1"
    assert get(served) == (200, PREPARING)
    assert get(served, "/latest") == (200, PREPARING)
    assert get(served, "/report.html")[0] == 404
    assert get(served, "/../../etc/passwd")[0] == 404
    assert get(served, host="evil.example:80")[0] == 403


def test_the_page_is_about_what_is_computed_and_how_far_it_is(computed, served):
    served.folder = computed[0]
    served.follow("Two runs", RUNS, [0, 1], lambda: None)
    status, content = get(served)
    assert status == 200
    data = json.loads(re.search(rb'id="data">(.*?)</script>', content)[1])
    assert data["live"] is True
    assert [panel["curves"][0]["count"] for panel in data["panels"]] == [[2] * 6, [2] * 6]
    assert "The workers are starting." in content.decode()


@needs_chromium
@pytest.mark.slow
def test_a_training_is_followed_from_its_start_to_the_report(tmp_path, chromium):
    command = ["train", "--rule", "rflo", "rtrl", "--task", "add", "--seeds", "4", "--steps", "300000", "--live", "--out"]
    run = subprocess.Popen(
        [sys.executable, "-c", "from recredit.cli.main import main; main()", *command, str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "BROWSER": "true"},
    )
    assert run.stdout
    address = next(line for line in run.stdout if "http" in line).split()[-1]
    page = chromium.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#standing progress", timeout=120_000)
    drawn = "document.querySelectorAll('[data-chart=curves] .mark-line path[d]:not([d=\"\"])').length === 2"
    page.wait_for_function(drawn, timeout=300_000)
    page.wait_for_function(
        "document.title.startsWith('rflo, rtrl on add') && !document.getElementById('standing')", timeout=300_000
    )
    page.wait_for_selector("body[data-drawn]")
    assert page.evaluate(drawn)
    assert page.locator(".matrix tbody tr").count() == 2
    page.close()
    rest = run.stdout.read()
    assert run.wait() == 0
    assert said == []
    assert "report.html" in rest
    assert "rflo, rtrl on add" in Path(tmp_path / "out" / "report.html").read_text("utf-8")
    assert xr.load_dataset(tmp_path / "out" / "run.nc").sizes["seed"] == 4
