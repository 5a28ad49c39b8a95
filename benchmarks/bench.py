"""Time the paper's rules beside other programs that learn the same, and write RESULTS.md, scaling.png and results.json.

    python benchmarks/bench.py             everything, as `make bench`
    python benchmarks/bench.py --quick     two sizes and two repeats, into results/bench
    python benchmarks/bench.py --resume    go on from the results.json of a run that was interrupted
    python benchmarks/bench.py --redraw    the page and the picture anew from results.json

A process a contender and core, pinned; all cores always do the same work. Within a size and a group of rules, the contenders
take turns at every repeat.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path

import costs
import jax
import machine
import numpy as np
import picture
import report
from workers import Workers

from recredit.runs.environment import FAST
from recredit.runs.local import cores

HERE = Path(__file__).parent
BRAINTRACE = HERE / ".venv"
SIZES, QUICK_SIZES, SEEDS = (16, 32, 64, 128, 256, 512), (16, 32), 20
REPEATS, CALL_S, LONG_S = 5, 0.25, 1.0
BRAINTRACE_RULES = ("rflo", "uoro", "rtrl")


def groups(names: list[str], workers: dict[str, Workers]) -> list[list[tuple[str, str]]]:
    """(contender, rule) of what is timed in turns: a rule by each contender, with RTRL its fast path, with P-BPTT jax.grad."""
    together = []
    for rule in costs.STATE:
        ours = [rule, *{"rtrl": ["rtrl_block"], "p_bptt": ["grad"]}.get(rule, [])]
        if rule != "rtrl_block" and set(ours) & set(names):
            members = [(contender, name) for contender in ("recredit", "GPU") for name in ours]
            members += [("NumPy", rule), *[("BrainTrace", rule)] * (rule in BRAINTRACE_RULES)]
            together.append([member for member in members if member[0] in workers])
    return together


def measure_group(workers: dict[str, Workers], members: list[tuple[str, str]], n: int, repeats: int) -> list[dict]:
    """The rows of one group at one size. `us` holds each repeat's figures, a core each."""
    rows = []
    for contender, rule in members:
        row = {"contender": contender, "rule": rule, "n": n, "us": []}
        try:
            answers = workers[contender].ask("prepare", rule=rule, n=n, seeds=-(-SEEDS // len(workers[contender].processes)))
            row |= answers[0] | {"seconds": max(answer["seconds"] for answer in answers)}
        except RuntimeError as error:
            row["error"] = str(error)
        rows.append(row)
    for repeat in range(repeats):
        for row in rows:
            if "error" not in row and (repeat < 3 or row["seconds"] < LONG_S):
                calls = max(1, round(CALL_S / row["seconds"]))
                try:
                    told = workers[row["contender"]].ask("time", rule=row["rule"], calls=calls)
                    row["us"].append([each["us"] for each in told])
                except RuntimeError as error:
                    row |= {"error": str(error), "us": []}
    for contender in dict(members):
        with contextlib.suppress(RuntimeError):  # a contender that died has been told of above
            workers[contender].ask("close")
    return rows


def limits(workers: dict[str, Workers], sizes: tuple[int, ...]) -> dict:
    """What the machine can do, on each core while the others do the same."""
    products = zip(workers["recredit"].measure("gemm"), workers["NumPy"].measure("gemm"))
    return {
        "gemm_gflops": [max(pair) for pair in products],
        "triad_gbs": workers["recredit"].measure("triad"),
        "read_gbs": {str(n): workers["recredit"].measure("read", n=n) for n in sizes},
    }


def start(used: list[int]) -> tuple[dict[str, Workers], dict[str, str]]:
    """The contenders that there are, and of the others why not; of the GPU, its name."""
    notes, whole = {}, Workers(sys.executable, "jax_program", [None])
    [(backend, name)] = whole.measure("device")
    ours = Workers(sys.executable, "jax_program", used, FAST)
    workers = {"recredit": ours, "NumPy": Workers(sys.executable, "numpy_program", used)}
    if backend == "gpu":
        workers["GPU"], notes["GPU"] = whole, name
    else:
        whole.end()
    if (BRAINTRACE / "ready").exists():
        workers["BrainTrace"] = Workers(str(BRAINTRACE / "bin" / "python"), "braintrace_times", used)
    else:
        notes["BrainTrace"] = "not installed: `make bench` could not make its environment"
    return workers, notes


def measure(path: Path, sizes: tuple[int, ...], names: list[str], repeats: int, resume: bool) -> None:
    """Measure all, and keep at `path` what there is after each size; to resume is to leave out the sizes that are there."""
    used = cores()[:2]
    workers, notes = start(used)
    try:
        results = {"machine": machine.describe(), "cores": len(used), "seeds": SEEDS, "notes": notes, "rows": []}
        if resume:
            results["rows"] = json.loads(path.read_text())["rows"]
        done = {row["n"] for row in results["rows"]}
        before = results["limits"] = limits(workers, sizes)
        for n in sizes:
            if n in done:
                continue
            for members in groups(names, workers):
                rows = measure_group(workers, members, n, repeats)
                results["rows"] += rows
                told = ", ".join(
                    f"{row['contender']} {row['rule']} {row.get('error') or round(np.median(row['us']), 3)}" for row in rows
                )
                print(f"n = {n}: {told}", flush=True)
            path.write_text(json.dumps(results, indent=1))
        results["limits"] = jax.tree.map(max, before, limits(workers, sizes))
        path.write_text(json.dumps(results, indent=1))
    finally:
        for contender in workers.values():
            contender.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two sizes, two repeats")
    parser.add_argument("--redraw", action="store_true", help="measure nothing")
    parser.add_argument("--resume", action="store_true", help="go on from the results.json of a run that was interrupted")
    parser.add_argument("--n", type=int, nargs="+", help="these sizes only")
    parser.add_argument("--rules", nargs="+", choices=costs.STATE, default=list(costs.STATE), help="these rules only")
    options = parser.parse_args()
    if min(options.n or SIZES) < 1:
        parser.error("--n: sizes are whole numbers of at least 1.")
    partial = options.quick or options.n or len(options.rules) < len(costs.STATE)
    folder = HERE.parent / "results" / "bench" if partial else HERE
    folder.mkdir(parents=True, exist_ok=True)
    sizes = tuple(options.n or (QUICK_SIZES if options.quick else SIZES))
    if (options.redraw or options.resume) and not (folder / "results.json").exists():
        parser.error(f"{folder / 'results.json'} does not exist: there is no run to go on from or to draw.")
    if not options.redraw:
        measure(folder / "results.json", sizes, options.rules, 2 if options.quick else REPEATS, options.resume)
    results = json.loads((folder / "results.json").read_text())
    (folder / "RESULTS.md").write_text(report.page(results))
    picture.draw(results, folder / "scaling.png")


if __name__ == "__main__":
    main()
