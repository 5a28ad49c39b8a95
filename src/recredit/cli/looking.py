"""The commands that look at what others compute and have computed: parsing only, as in `recredit.cli.main`."""

from typing import Annotated

from cyclopts import App, Parameter

from recredit.cli.groups import LOOK
from recredit.cli.parameters import Count, FilePath, Many
from recredit.cli.process import check_xla_flags
from recredit.studies.variants import ListFormat


def watch(folder: FilePath, /) -> None:
    """Watch from another terminal how far a command is that computes.

    For example: recredit watch results/fig1-written

    In a terminal, until it has ended; else how far it is now.

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
    """Test the trained networks of a run on fresh data, their weights standing still.

    For example: recredit test results/recorded-rflo --set task.part=test

    What comes of it is written beside the run, to a file test-TASK-....nc.

    Parameters
    ----------
    run
        The output folder of `recredit train`, or its run.nc.
    task
        The task, as for `recredit train` (default: the one they were trained on, with the same settings). Each network plays
        its own seed's, with data that training never used; of a recording, all that is asked for.
    set
        Settings of the task, PATH=VALUE each: task.part=test task.t1=4.
    steps
        Number of network steps (default 10,000, or as many as a recording has).
    """
    check_xla_flags()
    from recredit.cli.test import run_test

    run_test(run, task, set, steps)


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
    """List the results in a folder: what was computed with which settings and seeds, what came of it, when and where.

    For example: recredit results results/add-rflo --where rule=rflo task.t1=3

    Parameters
    ----------
    folder
        The output folder of any command that computes.
    where
        Settings that the results must have, PATH=VALUE each, as for --set of `recredit train`; seed=0, precision=float32 and
        state=diverged count as settings here. Of several values for one setting, one must fit.
    each
        A line for each seed.
    format
        How to print them. csv and json hold every setting, and have an entry for each seed.
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
