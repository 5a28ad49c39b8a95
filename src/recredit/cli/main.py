"""The command line: parsing only. JAX is imported when a command runs, so that help comes at once."""

import contextlib
import gc
import logging
import os
import sys
import warnings
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from recredit.cli.comparing import alignment, family
from recredit.cli.explaining import doctor, networks, optimizers, rules, tasks
from recredit.cli.groups import CATALOGUE, COMPUTE, HERE, JUDGE, LOOK
from recredit.cli.looking import on_fresh_data, report, results, watch
from recredit.cli.parameters import Count, FigureStyle, FilePath, Live, Many
from recredit.cli.process import check_xla_flags, end_on_signals, guarded_output
from recredit.cli.welcome import first_screen
from recredit.runs.failures import explanation
from recredit.runs.local import SELDOM, local_executor
from recredit.studies.variants import Format, Scale, Variant

app = App(
    name="recredit",
    help="Temporal credit assignment in recurrent networks: rules, tasks, the paper's Fig. 1, and the audit of rules.",
    suppress_keyboard_interrupt=False,  # main has more to say about it
)


@app.command(group=COMPUTE)
def fig1(
    *,
    scale: Scale = "paper",
    variant: Variant = "written",
    seeds: Count | None = None,
    steps: Count | None = None,
    seeds_at_once: Count | None = None,
    out: FilePath | None = None,
    style: FigureStyle = "screen",
    live: Live = False,
) -> None:
    """Compute and draw Fig. 1 of Marschall, Cho & Savin 2019.

    Finished parts are kept in the output folder: a second call computes only what is missing.

    Parameters
    ----------
    scale
        paper: 20 seeds, 10^6 steps; quick: 4 seeds, 50,000 steps, about a minute.
    variant
        written: the paper's equations; published: what the published program did.
    seeds
        Number of seeds, instead of the scale's.
    steps
        Number of network steps, instead of the scale's.
    seeds_at_once
        Number of seeds that each worker vectorises together (default: as many as fit in a core's cache; on a GPU, all).
    out
        Output folder (default: results/fig1-VARIANT or results/fig1-VARIANT-quick; if seeds or steps differ from the scale's,
        the name says so).
    live
        Show the report in a browser as the runs go, at an address that only this machine can reach. At the end it is written
        to the output folder, as report.html.
    """
    check_xla_flags()
    with local_executor("recredit.runs.work") as executor:
        from recredit.cli.fig1 import run_fig1  # while the workers start

        run_fig1(executor, scale, variant, seeds, steps, seeds_at_once, out, style, live)


@app.command(group=COMPUTE)
def train(
    *,
    rule: Annotated[tuple[str, ...], Many] = (),
    task: str | None = None,
    set: Annotated[tuple[str, ...], Many] = (),
    config: FilePath | None = None,
    observe: Annotated[tuple[str, ...], Many] = (),
    record: Annotated[tuple[str, ...], Many] = (),
    seeds: Count | None = None,
    steps: Count | None = None,
    bin: Count | None = None,
    streams: Count | None = None,
    across_trials: Annotated[bool | None, Parameter(negative=())] = None,
    seeds_at_once: Count | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    out: str | None = None,
    style: FigureStyle = "screen",
    live: Live = False,
) -> None:
    """Train one rule or several on one task.

    For example: recredit train --rule rflo uoro my.py:MyRule --task add --steps 100000 --seeds 8

    Several rules are paired: each seed has the same data and the same initial weights under every rule. They share one table,
    one figure and one file, run.nc, with the dimension `rule`. Finished parts are kept in the output folder: a second call
    computes only what is missing.

    Parameters
    ----------
    rule
        The learning rules: names, or files of your own as path/to/file.py:MyRule (or the path alone if it holds one rule).
        If such a file changes, its runs are computed again.
    task
        The task: a name, or a file of your own as path/to/file.py:MyTask (or the path alone if it holds one task).
    set
        Settings of rule, task, network and optimizer, PATH=VALUE each: rule.window=20 rule.jacobian=learned
        rule.jacobian.rate=0.01 task.t1=4 network.n=64 optimizer=adam. With several rules, rule.window=20 sets the window of
        every rule, rule.f_bptt.window=20 that of f_bptt alone. optimizer.W_in=0 keeps W_in as it is. `recredit rules NAME`,
        `recredit tasks NAME` and `recredit optimizers NAME` explain the settings.
    config
        A TOML file with any of: rule, task, network, optimizer, observers, record, steps, bin, streams, seeds,
        seeds_at_once, out. For example: task = "add", steps = 1e5, network.n = 64, rule = ["rflo", "my.py:MyRule"]. A rule with
        settings is a table with its name, [rule], or [[rule]] for each of several. Paths are relative to the file's folder.
        Options and --set override the file, and must not contradict each other. The rules, observers or task that they name
        replace the file's, but keep the settings that the file gives for the same name.
    observe
        Further rules, as for --rule, that see the same steps without changing them. Their alignment with each driver is
        recorded.
    record
        What to record along the way, in run.nc: NAME:every=STEPS or NAME:every=bin each, as in r:every=100 W:every=bin. Names:
        x, target, weight, start, epoch (the task's), r (firing rates), s (states), z (outputs), G (the rule's gradient), W,
        W_out, b_out. Recording takes no more memory, but needs its size twice on disk.
    seeds
        Number of seeds (default 20).
    steps
        Number of network steps (default 1,000,000, or as many as a recording has).
    bin
        Network steps over which the loss is averaged (default 10,000, or a hundredth of a shorter run).
    streams
        Number of parallel data streams that share a seed's weights; each step makes one update, from the streams' mean gradient
        (default 1).
    across_trials
        Let units and traces carry over from one trial to the next, as if trials had no borders.
    seeds_at_once
        Number of seeds that each worker vectorises together (default: as many as fit in a core's cache; on a GPU, all).
    from_
        The output folder of another `recredit train`, followed by :RULE to choose one of its rules. Everything not given stays
        as it was there. With --steps alone, that run continues for so many more steps, exactly as if it had been longer; with
        another task, rule, optimizer, ... the new run starts from its trained weights.
    out
        Output folder (default: results/TASK-RULE, or results/TASK-RULE-RULE-... for several).
    live
        Show the report in a browser as the runs go, as for `recredit fig1`.
    """
    check_xla_flags()
    names = {"rule": rule, "task": task, "observers": observe, "record": record, "out": out, "across_trials": across_trials}
    counts = {"steps": steps, "bin": bin, "streams": streams, "seeds": seeds, "seeds_at_once": seeds_at_once}
    with local_executor("recredit.runs.work", first=1) as executor:
        from recredit.cli.train import run_train  # while the workers start

        run_train(executor, config, names | counts, set, from_, style, live)


@app.command(group=COMPUTE)
def sweep(
    file: FilePath | None = None,
    /,
    *,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    out: FilePath | None = None,
    watch: FilePath | None = None,
    style: FigureStyle = "screen",
    live: Live = False,
) -> None:
    """Compute many runs that a TOML file describes, here or on a cluster, and choose the best value of a setting.

    For example: recredit sweep sweeps/fair_fig1.toml --dry-run

    Finished cells are kept in the output folder: after any interruption, the same command computes only what is missing.

    Parameters
    ----------
    file
        A TOML file as for `recredit train --config`, with any of: lists of rules and tasks; [grid], axes of which every
        combination is a point; [zip], axes whose values go together; [[only]], axes and settings for some points; [select],
        an axis along which the best value is chosen, on separate seeds; [executor], where to compute: kind = "local", "slurm"
        or "pbs", and its settings.
    dry_run
        Show what would be computed, what is already finished, and roughly how long the rest would take; compute nothing.
    out
        Output folder, instead of the file's (default: results/FILE, without its extension).
    watch
        Instead of all this: the folder of a sweep that another command computes, to watch its progress
        (as `recredit watch` does).
    live
        Show the report in a browser as the runs go, as for `recredit fig1`.
    """
    if (file is None) == (watch is None) or (watch and (dry_run or out or live)):
        raise ValueError("a sweep takes a file, as in recredit sweep my.toml, or a folder to watch, as in --watch results/my.")
    check_xla_flags()
    if file:
        from recredit.cli.sweep import run_sweep

        run_sweep(file, dry_run, out, style, live)
    if watch:
        from recredit.cli.watch import watch_folder

        watch_folder(watch)


@app.command(group=JUDGE)
def audit(
    *rules: str,
    with_: Annotated[tuple[str, ...], Parameter(name="--with", consume_multiple=True, negative=(), show_default=False)] = (),
    network: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=(), show_default=False)] = (),
    format: Format = "table",
    explain: str | None = None,
    repair: Annotated[bool, Parameter(negative=())] = False,
    as_test: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=(), show_default=False)] = (),
    slopes: FilePath | None = None,
) -> None:
    """Find out which operations of a learning rule's own program a neural circuit could perform.

    For example: recredit audit uoro dni --with jacobian=learned feedback=random

    Parameters
    ----------
    rules
        Rules by name, or of your own as path/to/file.py:MyRule (default: every named rule).
    with_
        Settings of these rules, SETTING=VALUE.
    network
        The network that they train: its units and settings SETTING=VALUE, as `recredit networks` lists them: gru, or
        excitatory=0.8 density=0.3 activation=relu (default: the paper's).
    format
        How to print the verdicts. json and html hold everything, operations included.
    explain
        Print this one rule's operations instead, in the order of its program.
    repair
        Try each rule's building blocks and switches, and print which combination passes, or what remains.
    as_test
        Criteria that each rule must pass, or "all": print those that do not pass, and exit with code 1 if there are any.
    slopes
        Also draw how each matrix's change per step shrinks with the time step, to this file (PNG, SVG or PDF; with a CSV
        beside it).
    """
    check_xla_flags()
    alone = explain is not None or repair or 0 < len(rules) < 4  # starting a process takes a second
    with contextlib.nullcontext() if alone else local_executor("recredit.studies.audits") as pool:
        from recredit.cli.audit import run_audit  # while they start

        run_audit(pool, rules, with_, network, format, explain, repair, as_test, slopes)


app.command(alignment, group=COMPUTE)
app.command(on_fresh_data, name="test", group=COMPUTE)
app.command(family, group=JUDGE)
app.command(watch, group=LOOK)
app.command(results)
app.command(report, group=LOOK)
for command in (rules, tasks, networks, optimizers):
    app.command(command, group=CATALOGUE)
app.command(doctor, group=HERE)
app.register_install_completion_command(group=HERE, help="Let bash, zsh or fish complete commands and options.")
for flag in ("--help", "--version"):
    app[flag].group = HERE


def main(arguments: Any = None) -> None:
    """Run the command line. An error ends it with one sentence and exit code 2, a signal with 128 plus its number.

    A reader that goes away (as `head` does) is no failure: the computation goes on, and the exit code is 0.
    """
    gc.set_threshold(SELDOM)
    os.environ.pop("MPLBACKEND", None)  # perhaps a notebook's, with which matplotlib may refuse to start: we draw to files
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its fonts is nothing to warn about
    if arguments is None:
        end_on_signals()
    with guarded_output() as out, warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # what a user should know is said in a sentence
        try:
            try:
                if sys.argv[1:] if arguments is None else arguments:
                    app(arguments, exit_on_error=False, print_error=False)
                else:
                    first_screen(app)
            finally:
                if out:
                    out.check()
        except (ValueError, OSError, ImportError, RuntimeError, MemoryError, CycloptsError) as error:
            sentence = str(error) if isinstance(error, CycloptsError) else explanation(error)
            if isinstance(error, UnusedCliTokensError):
                sentence = f'"{" ".join(error.unused_tokens or [])}" is not expected here; options are given as --name value.'
            print("recredit:", *sentence.split(), file=sys.stderr)  # on one line
            sys.exit(2)
