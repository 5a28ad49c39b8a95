"""The environment of a worker, on this machine or on a cluster's node: its numbers follow from it, to the last bit."""

import os
import sys

from recredit.runs.identity import precision

SINGLE_THREAD = "--xla_cpu_multi_thread_eigen=false"
# XLA on a processor unrolls short loops whole, and so does not vectorise them, and copies blocks of 16 numbers about: without
# either, RTRL in blocks takes a fifth less time at n = 32. No option of jit reaches them; a version without them ignores them.
FAST = "--xla_backend_extra_options=xla_cpu_disable_loop_unrolling,xla_cpu_disable_tiled_emitter"


def environment() -> dict[str, str]:
    """The variables that a worker has, wherever it computes: what JAX is told here, and the precision of this process.

    This process looks for the cells that its workers write, and JAX may have been told of a precision in the program alone.
    """
    told = {key: value for key, value in os.environ.items() if key.startswith("JAX_")}
    if "jax" in sys.modules:
        told["JAX_ENABLE_X64"] = str(int(precision() == "float64"))
    flags = f"{SINGLE_THREAD} {FAST} {os.environ.get('XLA_FLAGS', '')}".strip()
    # One thread of XLA's: of more, jaxlib's vectorised decompositions (OK-RTRL's) may wait for one another for ever.
    return told | {"XLA_FLAGS": flags, "OMP_NUM_THREADS": "1", "NPROC": "1"}
