from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

from jaxtyping import install_import_hook  # noqa: E402

# Every shape in every signature is checked, in the tests only; not in the audit, whose millions of small calls hold no arrays.
HOME = Path(__file__).parent.parent / "src" / "recredit"
CHECKED = sorted(f"recredit.{path.stem}" for path in HOME.iterdir() if path.stem not in ("audit", "__init__", "__pycache__"))
install_import_hook(CHECKED, "typecheck.checker").__enter__()
