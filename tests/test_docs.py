"""Every block of code in the documentation runs, every link leads somewhere, and the pages name what there is."""

import contextlib
import re
import shutil
import tomllib
from pathlib import Path

import conftest
import matplotlib as mpl
import pytest
import xarray as xr
from documents import PAGES, ROOT, arguments, blocks, is_quotation, prepare, quoted, shrunk

import recredit
from recredit.cli import main as command_line
from recredit.runs.local import LocalExecutor

TOML = {
    "README.md": "run.toml",
    "docs/sweeps.md": "sweep.toml",
    "docs/on_a_cluster.md": "sweep.toml",
    "docs/tutorials/slurm.md": "rates.toml",
}
"""What the file is called that a page shows."""
CLUSTER = {"docs/on_a_cluster.md", "docs/tutorials/slurm.md"}
"""Pages whose file says what to ask a cluster for: it is read by a dry run, and the sweep is computed here."""
BEFORE = {"docs/on_a_cluster.md": 'rule = "rflo"\ntask = "add"\nsteps = 500\nseeds = 2\n[grid]\n"network.n" = [8, 16]\n'}
"""What stands in it above the part that the page shows."""

NOT_RUN = {
    ("README.md", "make|pip"): "installs, and takes an hour: .ci/run calls make",
    ("docs/report.md", "make"): "installs: tests/test_live.py follows a run to its report",
    ("README.md", "recredit family"): "a minute: tests/test_family.py writes the page of some rules",
    ("README.md", "recredit audit$"): "every rule, most of a minute: make docs audits them all",
    ("README.md", "recredit audit dni --repair"): "minutes: tests/test_audit_report.py repairs rules of fewer blocks",
    ("README.md", "recredit watch"): "looks on at another command: tests/test_sweep_view.py",
    ("docs/sweeps.md", "recredit watch"): "looks on at another command: tests/test_sweep_view.py",
    ("docs/tutorials/slurm.md", "recredit watch"): "looks on at another command: tests/test_sweep_view.py",
    ("docs/index.md", "python3|pip"): "installs recredit, which the tests run from its sources",
    ("docs/neurogym.md", "python3|neurogym/bin/pip"): "installs NeuroGym in an environment of its own",
    ("docs/neurogym.md", "neurogym/bin/python"): "needs NeuroGym: tests/test_neurogym_export.py has a stand-in",
    (
        "docs/neurogym.md",
        "recredit train",
    ): "reads what NeuroGym exported: tests/test_neurogym_export.py trains on the stand-in's",
}
"""Commands that are not run here, by a pattern of how they begin, each with the reason."""

SLOW = {
    "README.md",
    *(
        f"docs/{name}.md"
        for name in (
            "alignment",
            "data",
            "errata",
            "figures",
            "index",
            "judge_your_own_rule",
            "networks",
            "recording",
            "report",
            "sweeps",
            "trained_networks",
        )
    ),
    *(page for page in PAGES if page.startswith("docs/tutorials/")),
}
EVERY = [pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page for page in PAGES]


def words_of(command):
    """A command as it is written, without the folder of the environment."""
    return " ".join(command).removeprefix(".venv/bin/")


def reason(page, command):
    """Why a command is not run; None: it is."""
    told = (why for (where, pattern), why in NOT_RUN.items() if where == page and re.match(pattern, words_of(command)))
    return next(told, None)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder for all pages, and the workers of their commands, which compile quickly, since they compute little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("desk"))
        patch.setenv("XLA_FLAGS", conftest.QUICK)
        workers = LocalExecutor("recredit.runs.work", first=1)
        yield Path.cwd(), workers
        workers.shutdown(cancel_futures=True)


@pytest.fixture
def run(desk, monkeypatch):
    """Runs a command of recredit's in a folder that is prepared for it and holds nothing of another page's."""
    folder, workers = desk
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    prepare(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    monkeypatch.setattr(command_line, "local_executor", lambda *_, **__: contextlib.nullcontext(workers))

    def run(words):
        try:
            command_line.main(arguments(words))
        except SystemExit as ended:
            return ended.code
        return 0

    return run


@pytest.mark.parametrize("page", [page for page in EVERY if blocks(page if isinstance(page, str) else page.values[0])])
def test_every_block_of_a_page_runs(page, run, capfd):
    mpl.use("agg")
    found = blocks(page)
    assert [block for block in found if block.language == ""] == []
    for block in found:
        if block.language == "toml":
            told = shrunk(BEFORE.get(page, "") + block.text)
            tomllib.loads(told)
            Path(TOML[page]).write_text(told.split("[executor]")[0])  # there is no cluster here
    space = {"xr": xr}
    for block in found:
        at = f"{page}:{block.line}"
        if is_quotation(block):
            assert quoted(block), f"{at}: no file that the page links to holds these lines"
        elif block.language == "python":
            exec(compile(shrunk("\n" * block.line + block.text), page, "exec"), space)
        elif block.language == "shell":
            for command in block.commands:
                if reason(page, command):
                    continue
                assert words_of(command).split()[0] == "recredit", (
                    f"{at}: {words_of(command)} is neither run nor said not to be"
                )
                code = run(command)
                assert code == 0, f"{at}: {words_of(command)} ended with {code}: {capfd.readouterr().err}"
        else:
            assert block.language in ("text", "toml", "bibtex") or block.language.startswith("{"), f"{at}: {block.language}"
    if page in CLUSTER:
        Path(TOML[page]).write_text(told)
        assert run(["recredit", "sweep", TOML[page], "--dry-run"]) == 0


def test_what_is_said_not_to_run_is_there():
    commands = {
        page: [command for block in blocks(page) if block.language == "shell" for command in block.commands] for page in PAGES
    }
    for page, pattern in NOT_RUN:
        assert any(re.match(pattern, words_of(command)) for command in commands[page]), f"{page} has no command {pattern}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", text):
        file = ((ROOT / page).parent / target) if target else ROOT / page
        assert file.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in headings(file), f"{page} links to {target}#{anchor}"


def headings(file):
    """The anchors of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_pages_of_the_api_hold_every_public_name_once():
    text = (ROOT / "docs/api.md").read_text()
    named = re.findall(r"^\.\. (?:autofunction|autoclass|data):: (\w+)$", text, re.MULTILINE)
    assert sorted(named) == sorted(recredit.__all__)
