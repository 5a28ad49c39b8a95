"""What `recredit doctor` does."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax

from recredit import __version__
from recredit.cli.console import console, plain_console
from recredit.cli.process import check_xla_flags, end_quietly
from recredit.report.explained import labelled
from recredit.runs.failures import no_device
from recredit.runs.local import cores
from recredit.runs.processor import CACHED, keep_programs, programs_folder
from recredit.studies.health import Check, checks

NEEDED = ("jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "xarray", "h5netcdf", "pandas", "matplotlib")
OPTIONAL = {
    "pyarrow": ("results and recordings as Parquet", "parquet"),
    "scikit-learn": ("the task digits", "digits"),
    "parsl": ("sweeps on a cluster", "cluster"),
}
"""What each optional package is for, and the extra that installs it."""


def run_doctor() -> None:
    """Print what recredit runs on here, check that it computes what it should, and give advice.

    Ends the process with exit code 1 if a check fails.
    """
    end_quietly()
    _tell("recredit", f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    _tell("Versions", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in NEEDED))
    failed = []
    try:
        check_xla_flags()
        devices = jax.devices()
    except (ValueError, RuntimeError, AssertionError) as error:  # the flags are refused, or there is no device
        _tell("Devices", str(error) if isinstance(error, ValueError) else no_device(error))
        raise SystemExit(1) from None
    _tell("Devices", ", ".join(f"{device.platform} ({device.device_kind})" for device in devices))
    _tell("Cores", f"{len(cores())} of {os.cpu_count()} may be used, each by a worker process with one thread")
    _tell("Cache", _cache(programs_folder()))
    for name, (what, extra) in OPTIONAL.items():
        found = _version(name)
        _tell("Optional", f"{name} {found}, for {what}" if found else f"no {name}, for {what}: pip install 'recredit[{extra}]'")
    keep_programs()
    with plain_console(stderr=True).status("") as status:
        for what, check in checks():
            status.update(f"Checking {what}")
            if check:
                _tell("passes" if check.passes else "FAILS", f"{what}: {check.found}")
                failed += [] if check.passes else [check]
    for sentence in advice(failed):
        _tell("Advice", sentence)
    if failed:
        raise SystemExit(1)
    console.out("All is well.")


def _tell(label: str, text: str) -> None:
    console.print(labelled(label, text, console.width))


def _cache(folder: Path) -> str:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{folder} holds {size / 1e6:.0f} MB of compiled programs; at most {CACHED / 1e6:.0f} MB for each kind of processor"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def advice(failed: list[Check]) -> Iterator[str]:
    """What to do, in sentences."""
    if failed:
        yield (
            "This machine does not compute what it should: reinstall recredit with the versions in its constraints.txt, "
            "and if a check still fails, report it with everything printed here."
        )
    if jax.default_backend() == "cpu" and shutil.which("nvidia-smi"):
        yield (
            "There is an NVIDIA GPU, but this JAX computes on the CPU: pip install 'jax[cuda12]' makes it use the GPU. "
            "Networks of the paper's size train as fast without it."
        )
    if len(cores()) == 1 < (os.cpu_count() or 1):
        yield f"Only one of {os.cpu_count()} cores may be used, because of taskset, a container or a batch system."
    elif len(cores()) == 1:
        yield "There is only one core: a figure at the paper's scale takes days; --scale quick takes minutes."
    if flags := os.environ.get("XLA_FLAGS", "").strip():
        yield f"XLA_FLAGS is set ({flags}): the last bits of numbers may depend on it; if in doubt, unset it."
    if platforms := os.environ.get("JAX_PLATFORMS"):
        yield f"JAX_PLATFORMS is set to {platforms}: no other device is used."
    if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        yield "JAX_ENABLE_X64 is set: runs compute in 64 bits, more slowly, and are kept separate from those in 32 bits."
