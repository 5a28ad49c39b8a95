"""Tables on terminals of any width."""

from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROW = 16  # columns: what wraps may be squeezed to it


def show(console: Console, table: Table) -> None:
    """Print a table, or its rows as lines where the terminal is too narrow for it; nothing is cut."""
    fitting = fitted(table, console.width)
    console.print(fitting) if fitting is table else console.out(fitting, highlight=False)


def fitted(table: Table, width: int) -> Table | Text:
    """The table, if a terminal of this many columns has room for it; else each of its rows as a line of its own."""
    heads = [str(column.header).replace("-\n", "").replace("\n", "-") for column in table.columns]
    cells = [[_plain(cell) for cell in column.cells] for column in table.columns]
    needed = [
        max(map(cell_len, "\n".join([str(column.header), *told]).split("\n"))) for column, told in zip(table.columns, cells)
    ]
    unlimited = Console(width=10_000, markup=False, emoji=False)
    borders = unlimited.measure(table).maximum - sum(needed)
    least = [whole if column.no_wrap else min(whole, NARROW) for column, whole in zip(table.columns, needed)]
    if borders + sum(least) <= width:
        return table
    rows = [
        "; ".join(f"{head}: {cell}".removeprefix(": ").replace("\n", ", ") for head, cell in zip(heads, row) if cell)
        for row in zip(*cells)
    ]
    return Text("\n".join(filter(None, [str(table.title or ""), *rows, str(table.caption or "")])))


def _plain(cell: Any) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
