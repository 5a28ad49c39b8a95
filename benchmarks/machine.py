"""The machine and the programs that times were taken with, in words: no names of hosts, no paths."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def describe() -> dict[str, str]:
    """By what is described."""
    told = {
        "CPU": f"{processor()}, {os.cpu_count()} cores",
        "caches": ", ".join(caches()) or "unknown",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{distribution()}, {platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return told | {"JAX": version("jax"), "NumPy": version("numpy"), "NumPy's BLAS": f"{blas['name']} {blas['version']}"}


def processor() -> str:
    """The CPU's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def caches() -> list[str]:
    """The first core's caches, from the first level up."""

    def read(folder: Path, what: str) -> str:
        return (folder / what).read_text().strip()

    folders = [folder for folder in sorted(CACHES.glob("index*")) if read(folder, "type") != "Instruction"]
    return [f"L{read(folder, 'level')} {read(folder, 'size').removesuffix('K')} KiB" for folder in folders]


def distribution() -> str:
    """The system's name."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform(terse=True)
