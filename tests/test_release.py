"""What the files around the package say of it is true: its version, its dependencies, how to cite it."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import recredit

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
IMPORTED_AS = {"scikit-learn": "sklearn", "vl-convert-python": "vl_convert"}
# Not imported by name: xarray loads them by themselves, for netCDF and for Parquet.
BY_XARRAY_AND_PANDAS = {"pandas", "pyarrow"}


def name_of(requirement):
    return re.match(r"[\w.-]+", requirement)[0].lower()


def declared(requirements):
    return {name_of(each) for each in requirements}


def imported():
    """The packages that the sources import, wherever in a file."""
    found = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            found |= {name.partition(".")[0] for name in names}
    return found - sys.stdlib_module_names - {"recredit"}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    users = declared(PROJECT["dependencies"]).union(
        *(declared(each) for extra, each in EXTRAS.items() if extra not in ("dev", "docs"))
    )
    modules = {IMPORTED_AS.get(name, name) for name in users}
    assert imported() <= modules
    assert modules - imported() <= BY_XARRAY_AND_PANDAS


def test_development_has_whatever_users_may_install():
    for extra, requirements in EXTRAS.items():
        assert extra in ("dev", "docs") or set(requirements) <= set(EXTRAS["dev"]), extra


def test_each_dependency_has_a_lowest_version_a_pin_and_a_reason():
    pins = {name_of(line): line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line}
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    requirements = {*PROJECT["dependencies"]}.union(*EXTRAS.values())
    assert len(requirements) > 20
    for name in declared(requirements):
        assert name in pins, f"constraints.txt has no {name}"
        assert re.search(rf"\b{re.escape(name)}\b", page, re.IGNORECASE), (
            f"docs/dependencies.md does not say what {name} is for"
        )
    without = {each for each in requirements if ">=" not in each}
    assert without <= {"ruff", "basedpyright"}  # whose findings, not whose interface, we depend on


def test_the_version_stands_in_one_place_and_the_citation_follows_it():
    assert PROJECT["dynamic"] == ["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == recredit.__version__
    assert citation["license"] == PROJECT["license"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["type"] in ("software", "dataset")
    known = {
        "type",
        "title",
        "authors",
        "year",
        "conference",
        "journal",
        "volume",
        "number",
        "pages",
        "start",
        "end",
        "url",
        "doi",
    }
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= reference.keys() <= known
        assert all({"family-names", "given-names"} == author.keys() for author in reference["authors"])
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(recredit.__version__)} - (unreleased|\d{{4}}-\d\d-\d\d)$", changes, re.MULTILINE)


@pytest.mark.parametrize("file", ["CONTRIBUTING.md", "CHANGELOG.md", "docs/figures.md", "docs/dependencies.md"])
def test_links_lead_to_files_and_commands_to_targets(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert all(((ROOT / file).parent / link).exists() for link in links)
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make (\w+)`", text)) <= targets
    assert all((ROOT / name).exists() for name in re.findall(r"`((?:tests|src|docs|examples)/[\w/]+\.\w+)`", text))
