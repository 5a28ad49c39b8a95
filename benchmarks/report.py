"""RESULTS.md, out of what was measured."""

from collections.abc import Iterable, Sequence

import costs
from figures import FIT_FROM, Rows, by_name, faster, peak, resident, rules, sizes, spread, state_exponent, time_exponent, us
from targets import over_floor, verdicts

NONE = "–"

METHOD = """\
- The work is Add (2 inputs, 2 outputs; for BrainTrace random bits of the same sizes), alpha 1/2, plain SGD at 1e-4 on every
  weight after every step, float32. recredit's rules have their default settings, except that they apply J through W_rec
  where they can; dense `rtrl` was tried both ways and the faster kept.
- Each contender has one process per core, single-threaded and pinned to its core; all {cores} cores always do the same work
  at the same time. A figure is the median over repeats and cores, five repeats, or three where a call takes longer than a
  second; a timed call takes about 0.25 s, or as long as one block of `rtrl_block` or two steps need. Within a rule and a
  size, the contenders take turns at every repeat. Half of the rows differ by less than {spread:.0%} between their slowest and
  fastest call.
- recredit has {seeds} seeds, {share} per core, vectorised as `recredit.train` would. NumPy runs one seed. BrainTrace runs one
  seed or {share} together, whichever is faster: D_RTRL beside `rflo`, SnAp-2 beside `rtrl`, and UORO, which builds J there by n
  backward passes. recredit's and jax.grad's programs are compiled as in the workers of `recredit train` (LLVM's level 1,
  vectors of 512 bits where the processor has them, the XLA_FLAGS of `recredit.runs.local`), BrainTrace's by its own
  defaults.
  jax.grad (`benchmarks/grad_rule.py`) backpropagates through the last 10 steps, run again at every step, vectorised as
  recredit's.
- The machine's limits were measured before and after; the better figure counts. After an interruption the run goes on with
  the next size, and measures the limits again.
- Operations and bytes are the formulas of `benchmarks/costs.py`, written from the rules' docstrings, not the compiler's count,
  which leaves out loops whose length depends on data. Bytes are the fewest that a step can move if nothing stays in a cache: a
  fraction above 1 means that caches helped.
- Memory is the compiler's account of a call of 100 steps: arguments, results and temporaries, less what shares a buffer, beside
  the bytes of its learners (weights, rates, learning state). Where these are larger than 32 MiB, the growth of the resident
  memory during a call is given too.
"""


def page(results: dict) -> str:
    """The whole page."""
    rows, cores = by_name(results), results["cores"]
    method = METHOD.format(cores=cores, seeds=results["seeds"], share=-(-results["seeds"] // cores), spread=spread(rows))
    parts = [
        "# How fast the rules are\n\nWritten by `make bench`; numbers in `results.json`. Times are microseconds per step of "
        "one seed on one core.",
        "## Targets\n\n" + answers(results, rows),
        "![Time per step against n](scaling.png)",
        "## The machine\n\n" + machine(results),
        "## How it was measured\n\n" + method.rstrip(),
        "## Growth\n\n" + growth(rows),
        "## Side by side\n\n" + side_by_side(results, rows),
        "## What a step does\n\n" + work(results, rows),
    ]
    return "\n\n".join(parts) + "\n"


def answers(results: dict, rows: Rows) -> str:
    met = {True: "met", False: "missed", None: NONE}
    return table(("target", "measured", ""), [(what, value, met[ok]) for what, value, ok in verdicts(results, rows)])


def machine(results: dict) -> str:
    told = {**results["machine"], **results["notes"]}
    limits = results["limits"]
    told["matrix product, per core"] = f"{mean(limits['gemm_gflops']):.0f} GFLOP/s (float32, n = 2048)"
    told["triad, per core"] = f"{mean(limits['triad_gbs']):.1f} GB/s (arrays of 134 MB)"
    read = ", ".join(
        f"{mean(speeds):.0f} (n = {n})" for n, speeds in sorted(limits["read_gbs"].items(), key=lambda each: int(each[0]))
    )
    told["reading an array the size of `rtrl_block`'s M, per core"] = f"{read} GB/s"
    return table(("", ""), told.items())


def growth(rows: Rows) -> str:
    lines = []
    for rule in rules(rows):
        time, state = time_exponent(rows, rule), state_exponent(rows, rule)
        theory = costs.TIME_EXPONENT[rule], costs.STATE_EXPONENT[rule]
        lines.append((rule, number(time, ".2f"), theory[0], number(state, ".2f"), theory[1]))
    text = f"Exponents of n, fitted from n = {FIT_FROM} up by least squares in logarithms, beside the theoretical ones.\n\n"
    return text + table(("rule", "time", "theory", "state", "theory"), lines)


def side_by_side(results: dict, rows: Rows) -> str:
    gpu = ["GPU"] * any(contender == "GPU" for contender, _, _ in rows)
    head = ["rule", "recredit", "NumPy", "per core", "machine", "BrainTrace", "ratio", "jax.grad", "ratio", *gpu]
    text = (
        "Ratios say how many times recredit's time the other takes. There are two against NumPy: per core, and for the "
        f"machine, where recredit shares {results['seeds']} seeds over {results['cores']} cores by itself and the NumPy "
        f"program runs one seed after another on one core: {results['cores']} times the ratio per core. NumPy and BrainTrace "
        "have no `rtrl_block`: it is compared with their RTRL."
    )
    parts = [text]
    for n in sizes(rows):
        lines = []
        for rule in rules(rows):
            same, line = "rtrl" if rule == "rtrl_block" else rule, [rule, micros(us(rows, "recredit", rule, n))]
            ratio = faster(rows, "NumPy", rule, n)
            line += [
                micros(us(rows, "NumPy", same, n)),
                number(ratio, ".1f"),
                number(ratio and ratio * results["cores"], ".1f"),
            ]
            line += [micros(us(rows, "BrainTrace", same, n)), number(faster(rows, "BrainTrace", rule, n), ".2f")]
            line += [micros(us(rows, "recredit", "grad", n)), number(faster(rows, "recredit", rule, n, "grad"), ".2f")]
            lines.append(line + [micros(us(rows, "GPU", rule, n)) for _ in gpu])
        parts.append(f"### n = {n}\n\n" + table(head, lines))
    failed = [f"{row['contender']} {row['rule']}, n = {row['n']}: {row['error']}" for row in results["rows"] if "error" in row]
    return "\n\n".join(parts + (["Not measured:\n\n" + "\n".join(f"- {line}" for line in failed)] if failed else []))


def work(results: dict, rows: Rows) -> str:
    head = ("rule", "µs", "seeds", "GFLOP/s", "of peak", "GB/s", "of triad", "state", "peak", "of learner", "compile")
    product, triad = mean(results["limits"]["gemm_gflops"]), mean(results["limits"]["triad_gbs"])
    parts = []
    for n in sizes(rows):
        lines = []
        for rule in rules(rows):
            if (row := rows.get(("recredit", rule, n))) is None:
                continue
            took = us(rows, "recredit", rule, n)
            flops, speed = (1e-3 * cost(rule, n) / took for cost in (costs.operations, costs.traffic))
            held = f"{peak(row):.2f}" + (f" (resident {grown:.2f})" if (grown := resident(row)) else "")
            name = f"{rule} ({row['variant']})" if rule == "rtrl" else rule
            line = [name, micros(took), row["seeds"], f"{flops:.1f}", f"{flops / product:.0%}", f"{speed:.1f}"]
            line += [f"{speed / triad:.0%}", size(row["state_bytes"]), size(row["peak_bytes"] / row["seeds"]), held]
            lines.append([*line, f"{row['compile_s']:.1f} s"])
        over = over_floor(results, rows, n)
        text = f"\n\n`rtrl_block` takes {over:.2f} times what reading M once takes." if over else ""
        parts.append(f"### n = {n}, a step of one seed\n\n" + table(head, lines) + text)
    return "\n\n".join(parts)


def table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table, with numbers to the right."""
    marks = ["---", *["--:"] * (len(head) - 1)] if len(head) > 3 else ["---"] * len(head)
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in [head, marks, *lines])


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def number(value: float | None, shape: str) -> str:
    return NONE if value is None else format(value, shape)


def micros(value: float | None) -> str:
    """Three digits."""
    return NONE if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def size(count: float) -> str:
    """Bytes, in a unit that fits."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"
