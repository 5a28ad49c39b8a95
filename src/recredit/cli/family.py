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

PAGE, PICTURES, TABLES = "rules.md", ("rules.svg", "rules.png"), ("rules.csv", "reductions.csv")


def run_family(pool: Executor, rules: Sequence[str], out: Path | None) -> None:
    """Write the page and the figure of all named rules, and of these `rules` too, to the folder `out`."""
    folder = out or Path("results") / "family"
    own = {}
    for spec in rules:
        name, kind = find(RULE, spec)
        if kind is RULES.get(name):
            continue
        other = "one of recredit's" if name in RULES else own.get(name, spec)
        if other != spec:
            raise ValueError(f"two rules are called {name}, {other} and {spec}: give yours a different name.")
        own[name] = spec
    there = next(each for each in (folder, *folder.parents) if each.exists())
    for name in (PAGE, *PICTURES, *TABLES):
        check_writable(there / name)
    with plain_console(stderr=True).status("") as status:
        found = family([*own.values(), *RULES], pool, lambda name: status.update(f"Looking at {name}"))
    found = found[len(own) :] + found[: len(own)]
    from recredit.report.family_figure import draw_family
    from recredit.report.family_page import family_page, reductions_csv, rules_csv

    folder.mkdir(parents=True, exist_ok=True)
    arrows = [*REDUCTIONS, *measured_arrows(found)]
    contents = family_page(found, arrows).encode(), rules_csv(found), reductions_csv(found, arrows)
    for name, content in zip((PAGE, *TABLES), contents, strict=True):
        write_whole(folder / name, content)
    draw_family(found, arrows, [*own], [folder / name for name in PICTURES])
    *files, last = (str(folder / name) for name in (PAGE, *PICTURES, *TABLES))
    console.out(f"Wrote {', '.join(files)} and {last}.")
