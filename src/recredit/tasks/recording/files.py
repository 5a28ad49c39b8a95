"""Recordings from files: arrays of a NumPy .npz file, columns of a table, variables of a netCDF file."""

import contextlib
import re
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from recredit.errors import brief, nearest, real_file, unreadable, user_path

Choose = Callable[[list[str]], list[str]]
OPTIONAL = "start", "weight"


def read_arrays(file: str, called: Mapping[str, str | None]) -> dict[str, Any]:
    """The arrays of a file by what they are for; `called` says by which name.

    A name stands for the array of that name, or for all of that name and a number (x for x1, x2, x_3), as do several names
    with commas between them: these are put side by side. None is for an array that is read if it is there, by the name of what
    it is for. Raises ValueError for a file that is missing or unreadable or lacks what is named.
    """
    path = user_path(file)
    kind, word, read = READERS.get(path.suffix.lower(), ("NumPy .npz", "array", _npz))
    for what, name in called.items():
        if name is not None and not (isinstance(name, str) and all(map(str.strip, name.split(",")))):
            raise ValueError(f"{what} must be a name in {file}, or several with commas between them, not {brief(name)}.")
    if kind == "Parquet" and not find_spec("pyarrow"):
        raise ValueError('to read Parquet needs pyarrow: pip install "recredit[parquet]".')
    names: list[str] = []

    def choose(present: list[str]) -> list[str]:
        names.extend(present)
        return [name for what in called for name in _meant(what, called[what], present)]

    try:
        found = read(real_file(path), choose)
    except Exception as error:  # whatever a library says to a file like this
        if isinstance(error, OSError) and error.errno:
            raise unreadable(file, file, error) from None
        if read is _npz:
            raise ValueError(f"{file} is not a NumPy .npz file of arrays of numbers; {_way_in(path)}.") from None
        raise ValueError(f"{file} cannot be read as {kind}: {' '.join(str(error).split()).rstrip('.')}.") from None
    arrays = {}
    for what, name in called.items():
        if parts := {each: found[each] for each in _meant(what, name, names)}:
            arrays[what] = _side_by_side(f"{file}'s {word}", parts)
        absent = [each for each in (name or "").split(",") if name and not _meant(what, each, names)]
        if absent:
            shown = ", ".join(names[:20]) + ", ..." * (len(names) > 20)
            hint = "" if what in OPTIONAL else " Name the two that are meant, as in task.inputs=x task.targets=y."
            raise ValueError(
                f'{file} has no {word} "{brief(absent[0].strip())[1:-1]}"; its {word}s: {shown or "none"}.{hint}'
                f"{nearest(absent[0], names)}"
            )
    return arrays


def _meant(what: str, name: str | None, names: list[str]) -> list[str]:
    """Those of a file's names that are meant."""
    if name is None:
        return [what] if what in names else []
    found = []
    for each in map(str.strip, name.split(",")):
        found += [each] if each in names else [n for n in names if re.fullmatch(rf"{re.escape(each)}_?\d+", n)]
    return found


def _side_by_side(whose: str, parts: Mapping[str, Any]) -> Any:
    arrays = {name: part if isinstance(part, np.ndarray) else _column(f"{whose} {name}", part) for name, part in parts.items()}
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    lengths = {name: len(array) if array.ndim in (1, 2) else 0 for name, array in arrays.items()}
    shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    if lengths[shortest] < lengths[longest]:
        raise ValueError(
            f"{whose}s that are put side by side must be as long as each other, but {shortest} has {lengths[shortest]} rows "
            f"and {longest} {lengths[longest]}."
        )
    return np.column_stack(list(arrays.values()))


def _column(which: str, series: Any) -> np.ndarray:
    """A table's column as numbers, with nan where there is none."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        return series.to_numpy(float, na_value=np.nan)
    numbers: Any = pd.to_numeric(series, errors="coerce")
    if not len(series):
        raise ValueError(f"{which} has no rows.")
    words = series[numbers.isna() & series.notna()]
    given = brief(next(iter(words), series.iloc[0]))
    raise ValueError(f"{which} must hold numbers, or true and false, not {series.dtype} such as {given}.")


def _npz(path: Path, choose: Choose) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in choose(list(data.files))}


def _csv(path: Path, choose: Choose, separator: str = ",") -> dict[str, Any]:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            shape = {"sep": separator, "skipinitialspace": True, "index_col": False}
            table = pd.read_csv(path, **shape)
            first = pd.read_csv(path, **shape, header=None, nrows=1, dtype=str)  # without the numbers that tell twins apart
        except pd.errors.ParserWarning:
            raise ValueError("its rows have more entries than its first line has names") from None
    table.columns = table.columns.str.strip()
    for name in table.columns:
        with contextlib.suppress(ValueError):
            float(name)
            raise TypeError(f"its first line must name the columns, and holds the number {name}")
    names = [str(name).strip() for name in first.iloc[0]]
    if twins := sorted({name for name in names if names.count(name) > 1 and name != "nan"}):
        raise ValueError(f'its first line must name each column once, and has "{twins[0]}" {names.count(twins[0])} times')
    return {name: table[name] for name in choose([str(name) for name in table.columns])}


def _tsv(path: Path, choose: Choose) -> dict[str, Any]:
    return _csv(path, choose, "\t")


def _parquet(path: Path, choose: Choose) -> dict[str, Any]:
    import pandas as pd

    table = pd.read_parquet(path)
    return {name: table[name] for name in choose([str(name) for name in table.columns])}


def _netcdf(path: Path, choose: Choose) -> dict[str, Any]:
    import xarray as xr

    with xr.open_dataset(path, decode_times=False) as data:  # times are numbers
        return {name: data[name].values for name in choose([str(name) for name in data.variables])}


READERS: dict[str, tuple[str, str, Callable[[Path, Choose], dict[str, Any]]]] = {
    ".csv": ("CSV", "column", _csv),
    ".tsv": ("TSV", "column", _tsv),
    ".parquet": ("Parquet", "column", _parquet),
    ".nc": ("netCDF", "variable", _netcdf),
}


def _way_in(file: Path) -> str:
    """How other files become one that can be read."""
    readers = {
        ".txt": f"np.loadtxt({file.name!r})",
        ".npy": f"np.load({file.name!r})",
        ".mat": f"scipy.io.loadmat({file.name!r})['NAME']",
    }
    read = readers.get(file.suffix.lower())
    if read is None:
        return "np.savez('data.npz', inputs=x, targets=y) makes one"
    saved = file.with_suffix(".npz").name
    return f"two lines of Python make one: x = {read}; np.savez({saved!r}, inputs=x[:, :-1], targets=x[:, -1:])"
