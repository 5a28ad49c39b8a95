"""What is released holds all that it needs and nothing else, and works where there is no git and none of this source tree."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import recredit

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
USE = """
import recredit
network = recredit.load("results/add-rflo")["rflo"][0]
found = recredit.audit(recredit.RULES["rflo"](), measure=False)
loss = recredit.train("rflo", "add", steps=20, seeds=1).loss
print(recredit.__version__, recredit.__file__, network.W.shape, found.passes, len(loss))
"""


def run(*command, **settings):
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    [archive], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    run(sys.executable, "-m", "twine", "check", "--strict", archive, wheel)
    return archive, wheel


def test_they_hold_the_package_with_its_types_and_data_and_nothing_else(built):
    archive, wheel = built
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "recredit").rglob("*") if path.is_file()}
    package = {name for name in sources if "__pycache__" not in name}
    assert {"recredit/py.typed", "recredit/__init__.pyi", "recredit/audit/paper.csv"} < package
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        [metadata] = [message_from_bytes(file.read(name)) for name in names if name.endswith("/METADATA")]
    assert {name for name in names if ".dist-info/" not in name} == package
    with tarfile.open(archive) as file:
        held = {name.partition("/")[2] for name in file.getnames()}
    beside = {".gitignore", "CHANGELOG.md", "CITATION.cff", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert held == beside | {f"src/{name}" for name in package}
    assert metadata["Version"] == recredit.__version__
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_wheel_works_in_an_environment_of_its_own(built, tmp_path):
    home = tmp_path / "env"
    venv.create(home, with_pip=True)
    bin = home / ("Scripts" if os.name == "nt" else "bin")
    constraints = ["-c", str(ROOT / "constraints.txt")]
    run(bin / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *constraints, built[1])
    (tmp_path / "work").mkdir()
    # No git, none of the variables of this process, and another current folder.
    apart = {"cwd": tmp_path / "work", "env": {"PATH": str(bin), "HOME": str(tmp_path)}}
    assert "audit" in run(bin / "recredit", "--help", **apart)
    assert run(bin / "recredit", "--version", **apart).strip() == recredit.__version__
    small = "--rule", "rflo", "--task", "add", "--steps", "200", "--seeds", "2"
    assert "Wrote results/add-rflo/loss.png and results/add-rflo/run.nc." in run(bin / "recredit", "train", *small, **apart)
    assert re.search(r"\brflo\b", run(bin / "recredit", "audit", "rflo", **apart))
    version, file, *rest = run(bin / "python", "-c", USE, **apart).split(" ", 2)
    assert version == recredit.__version__
    assert Path(file).is_relative_to(home)
    assert rest == ["(32, 35) True 1\n"]
