"""F-BPTT's gradient beside RTRL's with its lag taken out and without, on the four settings of this folder; writes lag.nc."""

import tomllib
from pathlib import Path

import xarray as xr

from recredit import RULES, train
from recredit.runs.files import write_dataset

FOLDER = Path(__file__).parent


class Now(RULES["f_bptt"]):
    """F-BPTT that does not say how late it is, and so is compared with what others give at the same moment."""

    @property
    def delay(self) -> int:
        return 0


found = {}
for name in ("add-0.5", "add-1", "mimic-0.5", "mimic-1"):
    said = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    settings = {key: said[key] for key in ("network", "steps", "bin", "seeds")}
    watching = {"lag taken out": RULES["f_bptt"](), "at the same moment": Now()}
    found[name] = train("rtrl_block", said["task"], observers=watching, optimizer=1e-4, **settings)[["cosine", "compared"]]
data = xr.concat(found.values(), xr.Variable("setting", [*found], {"long_name": "task and alpha"}))
write_dataset(FOLDER / "lag.nc", data)
