"""recredit: temporal credit assignment in recurrent networks.

Every online learning rule of Marschall, Cho & Savin 2019 under one contract, a training loop, the paper's Fig. 1, and an audit
that says which of a rule's operations a neural circuit could perform.
"""

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# The public names, and the module that defines each, are listed once: in the stub next to this file, which type checkers read.
_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
_HOME = {each.name: str(node.module) for node in _STUB.body if isinstance(node, ast.ImportFrom) for each in node.names}
__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    # Imported on first use: JAX takes a second to import, and `recredit --help` does without it.
    if name not in _HOME:
        raise AttributeError(f"module 'recredit' has no attribute {name!r}")
    home = importlib.import_module(_HOME[name])
    return home if name == "audit" else getattr(home, name)  # audit is a package that can be called


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
