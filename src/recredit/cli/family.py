"""What `recredit family` does."""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from recredit.cli.console import console, plain_console
from recredit.kinds import RULE
from recredit.registry import find
from recredit.rules import RULES
from recredit.runs.files import check_writable, write_whole
from recredit.studies.family import family, measured_arrows
from recredit.studies.reductions import REDUCTIONS

PAGE, PICTURES = "rules.md", ("rules.svg", "rules.png")


def run_family(pool: Executor, rules: Sequence[str], out: Path | None) -> None:
    """Write the page and the figure of all rules that have a name, and of these `rules` besides, to the folder `out`."""
    folder = out or Path("results") / "family"
    named = {find(RULE, spec)[0]: spec for spec in rules}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to the folder {folder}: {error.strerror}.") from None
    files = [folder / name for name in (PAGE, *PICTURES)]
    for file in files:
        check_writable(file)
    own = {name: spec for name, spec in named.items() if name not in RULES}
    with plain_console(stderr=True).status("") as status:
        found = family([*RULES, *own.values()], pool, lambda name: status.update(f"Looking at {name}"))
    from recredit.report.family_figure import draw_family
    from recredit.report.family_page import family_page

    arrows = [*REDUCTIONS, *measured_arrows(found)]
    write_whole(files[0], family_page(found, arrows).encode())
    draw_family(found, arrows, [*own], files[1:])
    console.out(f"Wrote {files[0]}, {files[1]} and {files[2]}.")
