"""What `recredit report` does."""

from concurrent.futures import Executor
from pathlib import Path

from recredit.cli.browser import show_in_browser
from recredit.cli.console import console, plain_console
from recredit.report.audited import asked_of, sizes_of
from recredit.report.gathered import Gathered, gather
from recredit.report.page import report
from recredit.runs.files import check_writable, write_whole
from recredit.studies.audits import audits


def run_report(pool: Executor, place: Path, out: Path | None, show: bool) -> None:
    """Write the report on a folder of results, or on one file of it, and `show` it in a browser."""
    gathered = gather(place)
    file = out or (place if place.is_dir() else place.parent) / "report.html"
    check_writable(file)
    write_report(pool, gathered, file)
    if show:
        show_in_browser("Report", file.absolute().as_uri())


def write_report(pool: Executor, gathered: Gathered, file: Path) -> None:
    """Audit the rules of a report, and write it."""
    asked, refused = asked_of(gathered)
    with plain_console(stderr=True).status("") as status:
        found, left_out = audits(asked, True, pool, lambda name: status.update(f"Auditing {name}"), ValueError)
    first = next((curve.run for panel in gathered.panels for curve in panel.curves), None)
    sizes = sizes_of(first) if first else None
    write_whole(file, report(gathered, found, [*refused, *left_out], sizes).encode())
    console.out(f"Wrote {file}.")
