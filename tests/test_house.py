"""House rules that a program can check: imports point one way, public names resolve, nothing is pickled."""

import ast
import importlib
import inspect
import json
import re
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path

import audit_fresh
import audit_kinds
import audit_networks
import audit_rules
import pytest
import respelled
from test_audit_random import ALL

import recredit
from recredit import FEEDBACKS, JACOBIANS, RULES, TASKS
from recredit.runs.files import read_dataset
from recredit.runs.sweep import read_sweep

ROOT = Path(__file__).parent.parent
SRC = Path(recredit.__file__).parent
FILES = {".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path for path in SRC.rglob("*.py")}

# From the bottom up: a module imports from its own room and from those above its line, never from below.
LAYERS = [
    {"errors", "jaxprs", "__version__"},
    {"network"},
    {"rule"},
    {"blocks"},
    {"contract"},
    {"rules", "tasks"},
    {"kinds"},
    {"own_files"},
    {"registry"},
    {"optimizers"},
    {"training", "audit"},
    {"runs"},
    {"studies", "testing"},
    {"report"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imports(path):
    """The modules of recredit that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        yield from {name.split(".")[1] for name in names if name.startswith("recredit.")}


@pytest.mark.parametrize("module", sorted(FILES))
def test_imports_point_one_way(module):
    package = module.split(".")[0]
    if module == "__init__":
        return  # it names the public parts, and imports each on first use
    for imported in imports(FILES[module]):
        assert imported == package or LEVEL[imported] < LEVEL[package], f"recredit.{module} imports recredit.{imported}"


def test_a_rule_knows_nothing_of_training_or_experiments():
    modules = [module for module in FILES if module.split(".")[0] in ("rule", "rules", "blocks")]
    assert len(modules) > 10
    allowed = {"errors", "network", "rule", "blocks", "rules"}
    assert {name for module in modules for name in imports(FILES[module])} <= allowed


def test_the_audit_knows_only_the_network_and_the_contract():
    modules = [module for module in FILES if module.split(".")[0] == "audit"]
    assert len(modules) > 8
    assert {name for module in modules for name in imports(FILES[module])} <= {"audit", "network", "rule", "contract", "jaxprs"}


AUDIT = ["program", "facts", "criteria", "account"]
"""The audit's rooms, from the jaxpr up; what is measured stands apart, but for the facts that evidence names."""


@pytest.mark.parametrize("module", sorted(m for m in FILES if m.count(".") == 2 and m.startswith("audit.")))
def test_the_audits_rooms_are_entered_one_way(module):
    below = (
        AUDIT[: AUDIT.index(module.split(".")[1]) + 1] if module.split(".")[1] in AUDIT else ["program", "facts", "measurement"]
    )
    rooms = [name.split(".")[1] for name in re.findall(r"from recredit\.(audit\.\w+)", FILES[module].read_text())]
    assert set(rooms) <= {*below, "verdicts"}


def test_public_names_resolve_and_are_all_that_is_shown_and_bound():
    bound = {}
    exec("from recredit import *", bound)
    assert bound.keys() - {"__builtins__"} == set(recredit.__all__) == set(dir(recredit)) - {"__version__"}
    for name in recredit.__all__:
        home = importlib.import_module(recredit._HOME[name])
        assert getattr(recredit, name) is bound[name] is (home if name == "audit" else getattr(home, name))
    assert callable(recredit.audit)  # a package that can be called
    assert {"train", "audit", "Trainer", "RULES", "TASKS", "Network", "AbstractRule", "AbstractTask"} < bound.keys()
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = recredit.Nothing


def test_recredit_is_imported_and_shown_without_jax():
    script = "import sys, recredit; assert recredit.__version__ and dir(recredit); print('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("command", ["train", "fig1", "sweep", "catalogue"])
def test_what_only_ends_a_command_is_not_imported_at_its_beginning(command):
    late = "xarray", "pandas", "matplotlib", "scipy.stats", "parsl"
    script = f"import sys, recredit.cli.main, recredit.cli.{command}; print([name for name in {late} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"


def undocumented(kind):
    """The fields of a class that it declares without a docstring under them."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body
    for node, after in zip(body, [*body[1:], None]):
        if isinstance(node, ast.AnnAssign) and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
            yield f"{kind.__name__}.{ast.unparse(node.target)}"


def test_every_field_of_a_public_class_has_its_own_docstring():
    registries = [{name: getattr(recredit, name) for name in recredit._HOME}, RULES, TASKS, FEEDBACKS, JACOBIANS]
    classes = {made for registry in registries for made in registry.values() if inspect.isclass(made)}
    assert len(classes) > 20
    assert not [field for kind in classes for base in kind.__mro__ if base in classes for field in undocumented(base)]


@pytest.mark.parametrize("module", sorted(FILES))
def test_nothing_is_pickled(module):
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
        if isinstance(node, ast.Call):
            assert all(k.arg != "allow_pickle" or getattr(k.value, "value", True) is False for k in node.keywords)
            if isinstance(node.func, ast.Attribute) and ast.unparse(node.func) == "np.load":
                assert "allow_pickle" in {k.arg for k in node.keywords}


def test_the_page_of_reproduced_runs_says_what_their_files_say():
    runs = [(task, variant) for task in ("Add", "Mimic") for variant in ("written", "published")]
    said = {v: json.loads((ROOT / f"reproduce/fig1-{v}/claims.json").read_text()) for v in ("written", "published")}
    page = (ROOT / "reproduce/README.md").read_text()
    rows = {cells[1]: cells[2:-1] for line in page.splitlines() if len(cells := [c.strip() for c in line.split("|")]) == 7}
    for rule in said["written"]["final_loss"]["Add"]:
        assert rows[rule] == [f"{said[v]['final_loss'][task][rule]['mean']:.4g}" for task, v in runs]
    for claim in {entry["claim"] for entry in said["written"]["claims"]}:
        verdicts = {(e["task"], v): e["verdict"] for v in said for e in said[v]["claims"] if e["claim"] == claim}
        assert rows[claim] == [verdicts[run] for run in runs]
    assert not any(said[v]["diverged"] for v in said)


def test_the_page_of_the_fair_figure_says_what_its_files_say(capsys):
    folder = ROOT / "reproduce" / "fair-fig1"
    found = runpy.run_path(str(folder / "tables.py"))
    page = (folder / "README.md").read_text()
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 1 + 12 + 6 + 8 + 13 + 2
    assert [row for row in rows if row not in page] == []
    assert found["judged"] == json.loads((folder / "claims.json").read_text())
    assert not found["judged"]["diverged"]


def test_the_page_of_alignment_says_what_its_files_say(capsys):
    folder = ROOT / "reproduce" / "alignment"
    runpy.run_path(str(folder / "tables.py"))
    rows, page = capsys.readouterr().out.splitlines(), (folder / "README.md").read_text()
    assert len(rows) == 2 + 9 + 6 + 9 + 5 + 10 + 1
    assert [row for row in rows if row not in page] == []


@pytest.mark.parametrize(
    ("table", "arguments", "count"),
    [pytest.param("every_rule", (), 58, marks=pytest.mark.slow), ("free_credit", (32,), 12), ("free_credit", (64,), 12)],
)
def test_the_page_of_rules_on_four_tasks_says_what_its_files_say(table, arguments, count, capsys):
    folder = ROOT / "reproduce" / "rules"
    runpy.run_path(str(folder / "tables.py"))[table](*arguments)
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == count
    assert [row for row in rows if row not in (folder / "README.md").read_text()] == []


def test_in_64_bits_rates_are_those_chosen_in_32():
    tables = runpy.run_path(str(ROOT / "reproduce" / "rules" / "tables.py"))
    of = {}
    for bits in (32, 64):
        data = tables["read"](f"free_credit_{bits}", "sweep.nc")
        points = zip(*(data[axis].values.tolist() for axis in ("rule", "task", "optimizer", tables["RATE"])), strict=True)
        of[bits] = sorted(points)
    assert of[32] == of[64]
    assert len(of[32]) == 36


@pytest.mark.parametrize("file", sorted((ROOT / "reproduce" / "networks").glob("*.toml")), ids=lambda file: file.stem)
def test_the_page_of_other_networks_says_what_their_files_say(file):
    sweep, data = read_sweep(file), read_dataset(file.with_suffix("") / "sweep.nc")
    for axis, (_, values) in sweep.coordinates(range(len(sweep.points))).items():
        assert data[axis].values.tolist() == values.tolist()
    run = sweep.points[0].run
    assert (data.seed.values.tolist(), data.step.values[-1]) == ([*sweep.seeds], run.steps)
    sections = (file.parent / "README.md").read_text().split("\n## ")
    [section] = [section for section in sections if f"sweep reproduce/networks/{file.name}" in section]
    assert f"]({file.stem}/sweep.png)" in section
    _, _, *rows = [cells for line in section.splitlines() if len(cells := [c.strip() for c in line.split("|")]) == 6]
    told = [[cell for cell in cells[2:-1] if cell] for cells in rows]
    percent = 100 * data.final_accuracy.values
    rules = zip(data.final_loss.values, percent, strict=True)
    found = [[f"{loss.mean():.3f}", f"{own.mean():.1f} %", ", ".join(f"{each:.1f}" for each in own)] for loss, own in rules]
    assert told[: len(found)] == found
    levels = {f"{level:.3f}" for level in run.build_task().floors().values()}
    assert {level for [level] in told[len(found) :]} <= levels


def test_the_page_on_trust_counts_the_rules_that_the_audit_is_tried_on():
    page = (ROOT / "docs/how_far_to_trust_the_audit.md").read_text()
    cases = (audit_rules.CASES, respelled.PAIRS, audit_kinds.CASES, ALL, audit_networks.CASES, audit_fresh.CASES)
    counts = [*map(len, cases)]
    assert [int(count) for count in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == counts


def test_the_example_of_an_own_rule_runs():
    losses = runpy.run_path(str(ROOT / "examples/own_rule.py"))["final_losses"](steps=200, seeds=2)
    assert len(set(losses.values())) == 3
    assert all(0.3 < loss < 1.5 for loss in losses.values())
