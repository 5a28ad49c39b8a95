import functools
import gc
import os
import shutil
import subprocess
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

# The tests compile far more than they compute, so XLA compiles them in a quarter of the time, in this process alone: commands
# that a test starts compile as a user's do, and so do all tests under `make slow`, which sets XLA_FLAGS to nothing.
QUICK = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
if jax.__version_info__ < (0, 12):  # later versions have no other emitters
    QUICK += " --xla_cpu_use_fusion_emitters=false"

flags = os.environ.setdefault("XLA_FLAGS", QUICK)
os.environ["NPROC"] = "1"  # threads of XLA's, as workers have it (`recredit.runs.environment`)
jax.config.update("jax_enable_x64", True)
jax.devices()  # XLA starts, and reads its flags this once
del os.environ["NPROC"]
if flags == QUICK:
    del os.environ["XLA_FLAGS"]

# Every shape in every signature is checked, in the tests only; not in the audit, whose millions of small calls hold no arrays.
HOME = Path(__file__).parent.parent / "src"
CHECKED = sorted(
    ".".join(path.relative_to(HOME).with_suffix("").parts)
    for path in HOME.rglob("*.py")
    if "Float[" in path.read_text() and "audit" not in path.parts
)
install_import_hook(CHECKED, "typecheck.checker").__enter__()

if flags == QUICK:  # what training asks of XLA beyond its defaults would take the longer way again
    from recredit.training import lanes, programs

    programs._quick_jit = functools.cache(lambda: jax.jit)
    lanes._fast_jit = functools.cache(lambda: functools.partial(jax.jit, donate_argnums=1))

# Tracing makes many long-lived objects: looking for cycles among them as often as Python does costs a twentieth of the time.
gc.freeze()
gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A SLURM of one node with two processors, this machine, for the commands of this session (sbatch, squeue, scancel)."""
    missing = [each for each in ("slurmctld", "slurmd", "munged", "sbatch") if not shutil.which(each)]
    if missing or os.geteuid() != 0:
        why = f"{', '.join(missing)} is not installed" if missing else "only root can start its daemons"
        pytest.skip(f"no SLURM can be started here: {why}")
    folder, scripts = tmp_path_factory.mktemp("slurm"), Path(__file__).parent / "slurm"
    subprocess.run([scripts / "start.sh", folder], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        yield folder
    subprocess.run([scripts / "stop.sh", folder], check=True)


@pytest.fixture(scope="module")
def compilations():
    """How many programs this process has compiled since the module's tests began."""
    events = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: events.append(event))
    return lambda: events.count("/jax/core/compile/backend_compile_duration")
