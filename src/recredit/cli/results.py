"""What `recredit results` does."""

import csv
import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from recredit.cli.console import console
from recredit.report.fitting import show
from recredit.report.results import closing, remarks, results_table
from recredit.runs.listing import as_rows, listed
from recredit.studies.variants import ListFormat


def list_results(folder: Path, where: Sequence[str], each: bool, format: ListFormat) -> None:
    """Print the cells in a folder for which `where` holds."""
    gc.disable()  # all that is read stays until the end, and looking for what does not would take a tenth of the time
    cells = listed(folder, where)
    if format == "json":
        print(
            json.dumps(
                [{"file": cell.path.name, "state": cell.state, "why": cell.why, **cell.record} for cell in cells], indent=1
            )
        )
    elif format == "csv":
        rows = as_rows(cells)
        columns = dict.fromkeys(key for row in rows for key in row)
        table = csv.DictWriter(sys.stdout, list(columns), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    else:
        if (table := results_table(cells, each)).columns:
            show(console, table)
        for sentence in remarks(cells):
            console.out(sentence)
        console.out(closing(cells))
        if any(folder.glob("checkpoints/*.ckpt")):
            console.out(f"Others have begun, and have checkpoints: recredit watch {folder} shows how far they are.")


def export_results(folder: Path, file: Path, where: Sequence[str]) -> None:
    """Write the cells in a folder for which `where` holds to one file, whose extension says its format."""
    from recredit.studies.export import export  # here, since it takes a second, which a list does not need

    cells = listed(folder, where)
    if file.parent.resolve() == (folder / "cells").resolve():
        raise ValueError(f"{file} would be among the cells of {folder}, and might overwrite one; choose another folder.")
    count = export(cells, file, console.out)
    for sentence in remarks(cells):
        console.out(sentence)
    console.out(f"Wrote {count} {'cell' if count == 1 else 'cells'} to {file}.")
