"""The commands that compare rules: parsing only, as in `recredit.cli.main`."""

from typing import Annotated

from cyclopts import Parameter

from recredit.cli.parameters import Count, FigureStyle, FilePath, Many
from recredit.cli.process import check_xla_flags, end_quietly
from recredit.runs.local import local_executor


def alignment(
    *rules: str,
    driver: str | None = None,
    task: str | None = None,
    set: Annotated[tuple[str, ...], Many] = (),
    config: FilePath | None = None,
    draws: Count | None = None,
    seeds: Count | None = None,
    steps: Count | None = None,
    bin: Count | None = None,
    streams: Count | None = None,
    across_trials: Annotated[bool | None, Parameter(negative=())] = None,
    seeds_at_once: Count | None = None,
    out: str | None = None,
    style: FigureStyle = "screen",
) -> None:
    """Compare the gradients of every pair of rules: one rule drives, the others watch the same steps.

    For example: recredit alignment rtrl f_bptt uoro my.py:MyRule --driver rflo --task add --steps 100000 --seeds 8

    Watching changes nothing. The cosine and the norms of each pair of gradients are compared at the step that both belong to,
    for all of W and for W_rec, W_in and b_rec separately; for stochastic rules, bias and variance too. Finished parts are kept
    in the output folder: a second call computes only what is missing.

    Parameters
    ----------
    rules
        The learning rules: names, or files of your own as path/to/file.py:MyRule (default: the paper's ten that have a
        gradient, without those that do not work on the network).
    driver
        The rule that trains the network (default rtrl).
    task
        The task: a name, or a file of your own as path/to/file.py:MyTask (or the path alone if it holds one task).
    set
        Settings of rules, task, network and optimizer, PATH=VALUE each, as for `recredit train`: rule.f_bptt.window=14
        task.t1=4 network.n=64.
    config
        A TOML file as for `recredit train`, without observers and with any of: driver, draws.
    draws
        How many copies of each stochastic rule also watch, to estimate its bias and variance; 0: none (default 16).
    seeds
        Number of seeds (default 20).
    steps
        Number of network steps (default 1,000,000, or as many as a recording has).
    bin
        Network steps over which what is kept is averaged (default 10,000, or a hundredth of a shorter run).
    streams
        Number of parallel data streams that share a seed's weights, as for `recredit train`; gradients are means over them.
    across_trials
        Let units and traces carry over from one trial to the next, as if trials had no borders.
    seeds_at_once
        Number of seeds that each worker vectorises together (default: as many as fit in a core's cache; on a GPU, all).
    out
        Output folder (default: results/alignment-TASK-DRIVER).
    """
    check_xla_flags()
    names = {"rule": rules, "driver": driver, "task": task, "out": out, "across_trials": across_trials, "draws": draws}
    counts = {"steps": steps, "bin": bin, "streams": streams, "seeds": seeds, "seeds_at_once": seeds_at_once}
    with local_executor("recredit.runs.work", first=1) as executor:
        from recredit.cli.alignment import run_alignment  # while the workers start

        run_alignment(executor, config, names | counts, set, style)


def family(*rules: str, out: FilePath | None = None) -> None:
    """Write a page and a figure of the family of learning rules: what each rule is, and which reduces to which.

    For example: recredit family path/to/file.py:MyRule

    State, facing, randomness, bias, costs, the audit's verdicts and the networks that a rule works on are worked out from its
    program, which takes a few seconds per rule.

    Parameters
    ----------
    rules
        Rules of your own as path/to/file.py:MyRule, framed in the figure and shown beside every named rule.
    out
        Output folder, for rules.md, rules.svg, rules.png, rules.csv and reductions.csv (default: results/family).
    """
    check_xla_flags()
    with local_executor("recredit.studies.family") as pool:
        from recredit.cli.family import run_family  # while they start

        end_quietly()  # nothing of it is kept
        run_family(pool, rules, out)
