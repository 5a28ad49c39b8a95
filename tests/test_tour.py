"""The notebook runs from top to bottom in a kernel, shows what its text says, and is the same as its script."""

import importlib
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from recredit.training import bar, loop

EXAMPLES = Path(__file__).parent.parent / "examples"
SOURCES = str(Path(importlib.import_module("recredit").__file__).parent.parent)


def test_the_notebook_and_its_script_are_the_same():
    script, notebook = (jupytext.read(EXAMPLES / f"tour.{kind}") for kind in ("py", "ipynb"))
    assert len(script.cells) > 15
    assert [(each.cell_type, each.source) for each in notebook.cells] == [
        (each.cell_type, each.source) for each in script.cells
    ]


def outputs(notebook, kind):
    return [each for cell in notebook.cells for each in cell.get("outputs", []) if each.output_type == kind]


def test_the_committed_notebook_shows_plots_and_names_no_place_on_a_machine():
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
    assert not outputs(notebook, "error")
    assert len([each for each in outputs(notebook, "display_data") if "image/png" in each.data]) >= 4
    said = [each.text for each in outputs(notebook, "stream")]
    said += [str(each.data.get("text/plain")) + str(each.data.get("text/html")) for each in outputs(notebook, "execute_result")]
    assert not [text for text in said for place in ("/home", "/root", "/tmp", "/Users", ":\\") if place in text]
    assert (EXAMPLES / "tour.ipynb").stat().st_size < 500_000


def test_the_notebook_runs_in_a_kernel(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", SOURCES)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    shutil.copy(EXAMPLES / "node_perturbation.py", tmp_path)
    notebook = jupytext.read(EXAMPLES / "tour.py")
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    assert not outputs(notebook, "error")
    assert len([each for each in outputs(notebook, "display_data") if "image/png" in each.data]) >= 4
    streams = outputs(notebook, "stream")
    assert {each.name for each in streams} == {"stdout"}  # no warning, no stray line
    said = "".join(each.text for each in streams)
    assert said.count("fail ") == 1
    assert "fail      vii" in said
    assert "It passes with baseline=running." in said
    assert "\x1b" not in said
    bars = [each.data["text/plain"] for each in outputs(notebook, "display_data") if "image/png" not in each.data]
    assert bars
    assert all(": done in 0:0" in text for text in bars)


class Display:
    """What IPython shows in one cell's output."""

    def __init__(self):
        self.seen = []

    def display(self, content, raw, display_id):
        self.update(content, raw)
        return self

    def update(self, content, raw):
        assert raw
        self.seen.append(content)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(bar, "PATIENCE", 0)


def test_a_notebook_shows_how_far_a_training_is_in_one_output(impatient, monkeypatch):
    cell = Display()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel="one")))
    monkeypatch.setitem(sys.modules, "IPython.display", cell)
    loop.train("rflo", "add", network={"n": 4}, steps=40, bin=10, seeds=2, seeds_at_once=1)
    parts = [int(content["text/plain"].removeprefix("rflo: ").split("%")[0]) for content in cell.seen[:-1]]
    assert parts == sorted(parts)
    assert {50, 100} <= {*parts}
    half = next(content for content in cell.seen if content["text/plain"].startswith("rflo: 50%"))
    assert '<progress value="0.500"></progress> rflo: 50%' in half["text/html"]
    assert cell.seen[-1].keys() == {"text/plain"}
    assert cell.seen[-1]["text/plain"].startswith("rflo: done in 0:00:")


def test_a_terminal_shows_a_line_that_goes_away(impatient, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with bar.Bar("rflo", 40) as told:
        told(10)
        told(20)
    lines = capsys.readouterr().err.split("\r")
    assert [line.split(",")[0] for line in lines] == ["", "rflo: 25%", "rflo: 50%", "\x1b[K"]


def test_nothing_is_shown_where_nobody_looks_on_or_wants_it(impatient, monkeypatch, capsys):
    small = {"network": {"n": 4}, "steps": 40, "bin": 10, "seeds": 1}
    loop.train("rflo", "add", **small)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    loop.train("rflo", "add", **small, progress=False)
    assert capsys.readouterr() == ("", "")
    done = []
    loop.train("rflo", "add", **small, progress=done.append)
    assert done[-1] == 40
    assert capsys.readouterr() == ("", "")
