"""The commands that look at what other commands compute or have computed: parsing only, as in `recredit.cli.main`."""

from typing import Annotated

from cyclopts import App, Parameter

from recredit.cli.groups import LOOK
from recredit.cli.parameters import Count, FilePath, Many
from recredit.cli.process import check_xla_flags
from recredit.runs.local import local_executor
from recredit.studies.variants import ListFormat


def watch(folder: FilePath, /) -> None:
    """Watch the progress of a command from another terminal.

    For example: recredit watch results/fig1-written

    In a terminal it watches until the command ends; otherwise it prints the progress once.

    Parameters
    ----------
    folder
        The output folder of any command that computes.
    """
    from recredit.cli.watch import watch_folder

    watch_folder(folder)


def on_fresh_data(
    run: FilePath,
    /,
    *,
    task: str | None = None,
    set: Annotated[tuple[str, ...], Many] = (),
    steps: Count | None = None,
) -> None:
    """Test the trained networks of a run on fresh data, with their weights fixed.

    For example: recredit test results/recorded-rflo --set task.part=test

    The results are written beside the run, to a file test-TASK-....nc.

    Parameters
    ----------
    run
        The output folder of `recredit train`, or its run.nc.
    task
        The task, as for `recredit train` (default: the one they were trained on, with the same settings). Each network gets
        its own seed's data, which training never used; from a recording, all the data asked for.
    set
        Settings of the task, PATH=VALUE each: task.part=test task.t1=4.
    steps
        Number of network steps (default 10,000, or as many as a recording has).
    """
    check_xla_flags()
    from recredit.cli.test import run_test

    run_test(run, task, set, steps)


def report(
    place: FilePath,
    /,
    *,
    out: FilePath | None = None,
    open_: Annotated[bool, Parameter(name="--open", negative=())] = False,
) -> None:
    """Write a report on results: one page with curves, final losses, claims, alignment, the audit, costs and settings.

    For example: recredit report results/fig1-written --open

    The page needs no other file and no network, so it can be sent to someone. The rules are audited for it, which takes a few
    seconds each.

    Parameters
    ----------
    place
        The output folder of fig1, train, sweep or alignment, or one of the files there: curves.nc, run.nc, sweep.nc. If the
        command in the folder has not ended, the report shows what is finished.
    out
        The file to write (default: report.html in the folder).
    open_
        Open the report in a browser.
    """
    check_xla_flags()
    with local_executor("recredit.studies.audits") as pool:
        from recredit.cli.report import run_report  # while they start

        run_report(pool, place, out, open_)


results = App(name="results", group=LOOK, help="List the results in a folder, or export them.")


@results.default
def list_(
    folder: FilePath,
    /,
    *,
    where: Annotated[tuple[str, ...], Many] = (),
    each: Annotated[bool, Parameter(negative=())] = False,
    format: ListFormat = "table",
) -> None:
    """List the results in a folder: what was computed with which settings and seeds, the final losses, when and where.

    For example: recredit results results/add-rflo --where rule=rflo task.t1=3

    Parameters
    ----------
    folder
        The output folder of any command that computes.
    where
        Settings that the results must have, PATH=VALUE each, as for --set of `recredit train`; seed=0, precision=float32 and
        state=diverged count as settings here. If a setting is given several values, any of them will do.
    each
        A line for each seed.
    format
        How to print them. csv and json hold every setting, with an entry for each seed.
    """
    from recredit.cli.results import list_results

    list_results(folder, where, each, format)


@results.command
def export(folder: FilePath, file: FilePath, /, *, where: Annotated[tuple[str, ...], Many] = ()) -> None:
    """Export the results in a folder to one file.

    Parameters
    ----------
    folder
        The output folder of any command that computes.
    file
        What to write: .nc holds everything, .parquet and .csv a row for each step of each curve.
    where
        Settings that the results must have, as for `recredit results`.
    """
    from recredit.cli.results import export_results

    export_results(folder, file, where)
