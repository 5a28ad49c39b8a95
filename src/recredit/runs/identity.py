"""What a cell is: one run, one seed, and the program and precision that decide its numbers."""

import functools
import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import recredit

if TYPE_CHECKING:  # which take a second to import, and a list of results needs neither
    from recredit.runs.settings import Run

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy")
ROOMS = ("jaxprs.py", "contract.py", "rule.py", "optimizers.py", "network", "blocks", "rules", "tasks", "training")
"""Where recredit's own numbers are decided."""


@functools.cache
def program() -> dict[str, str]:
    """What decides a run's numbers beside its settings: recredit's version and the digest of its source, the versions beneath.

    An installed recredit of one version has one source; a working copy is another program after each change of it.
    """
    own = {"recredit": recredit.__version__, "source": source_digest(Path(recredit.__file__).parent)}
    return own | {name: version(name) for name in PACKAGES}


def source_digest(package: Path) -> str:
    """The digest of the files in recredit's folder that decide numbers."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for file in sorted((package / room).rglob("*.py")) or [package / room]:
            content = file.read_bytes()
            digest.update(f"{file.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """The versions that a result is told to be made with: the program's, and Python's."""
    return {"python": platform.python_version()} | program()


def precision() -> str:
    """The type of this process's real numbers: "float32", or "float64" where JAX_ENABLE_X64 is set."""
    import jax

    return "float64" if jax.config.jax_enable_x64 else "float32"  # pyright: ignore[reportAttributeAccessIssue]


def difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """In what another program, perhaps with its precision, differs from this one, in words."""
    told = [f"{key} {theirs.get(key)}, now {ours[key]}" for key in ours if theirs.get(key) != ours[key] and key != "source"]
    return "; ".join(told) or "another source of recredit"


@dataclass(frozen=True)
class Cell:
    """One run with one seed, as this process would compute it."""

    run: "Run"
    """Everything but the seed."""
    seed: int
    """Of the initial weights, the data and the rule's own randomness."""

    def identity(self) -> dict[str, Any]:
        """What its numbers follow from; two cells are the same if this is."""
        return self._identity(program())

    def _identity(self, made_by: Mapping[str, str]) -> dict[str, Any]:
        return {"run": json.loads(self.run.text()), "seed": self.seed, "precision": precision(), "program": dict(made_by)}

    @functools.cached_property
    def file(self) -> str:
        """The name of its file."""
        return file_name(self.identity())

    def file_of(self, made_by: Mapping[str, str]) -> str:
        """The name of the file that another program has made of it."""
        return file_name(self._identity(made_by))

    def path(self, folder: Path) -> Path:
        """Where its file lies in a folder of results."""
        return folder / "cells" / self.file


def file_name(identity: dict[str, Any]) -> str:
    """The name of the file of a cell of this identity: digest of run and seed, digest of precision and program."""
    what = _digest({key: identity[key] for key in ("run", "seed")})[:20]
    return f"{what}-{_digest({key: identity[key] for key in ('precision', 'program')})[:12]}.nc"


def _digest(table: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()
