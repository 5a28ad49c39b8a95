"""What was asked of the speed, what was measured, and whether that is met."""

import costs
from figures import Rows, faster, peak, rules, sizes, time_exponent, us

DENSE = {32: 2.5, 128: 4, 256: 8, 512: 12}


def verdicts(results: dict, rows: Rows) -> list[tuple[str, str, bool | None]]:
    """(what was asked, what was measured, met?): None where it was not measured."""
    told = [square_rules(rows, results["cores"]), block_against_numpy(rows, results["cores"])]
    told += [block_against_dense(rows, n, least) for n, least in DENSE.items()]
    told += [growth(rows), against_floor(results, rows), against_braintrace(rows), compile_time(rows), memory(rows)]
    return [(what, value or "not measured", met if value else None) for what, value, met in told]


def square_rules(rows: Rows, cores: int) -> tuple[str, str, bool]:
    names = [rule for rule in rules(rows) if costs.TIME_EXPONENT[rule] == 2]
    ratios = {rule: cores * ratio for rule in names if (ratio := faster(rows, "NumPy", rule, 32))}
    met = [rule for rule, ratio in ratios.items() if ratio >= 40]
    missed = ", ".join(f"{rule} {ratio:.1f}" for rule, ratio in ratios.items() if ratio < 40)
    least = min(ratios, key=ratios.__getitem__, default="")
    value = f"least {least} {ratios[least]:.1f} times ({ratios[least] / cores:.1f} per core)" if ratios else ""
    value += f"; below 40: {missed}" if missed else ""
    return "rules of cost n² at n = 32: 40 times NumPy on the machine", value, len(met) == len(ratios)


def block_against_numpy(rows: Rows, cores: int) -> tuple[str, str, bool]:
    ratio = faster(rows, "NumPy", "rtrl_block", 32) or 0
    value = f"{cores * ratio:.1f} times ({ratio:.1f} per core)" if ratio else ""
    return "`rtrl_block` at n = 32: 30 times NumPy's RTRL on the machine", value, cores * ratio >= 30


def block_against_dense(rows: Rows, n: int, least: float) -> tuple[str, str, bool]:
    ratio = faster(rows, "recredit", "rtrl_block", n) or 0
    return f"`rtrl_block` at n = {n}: {least} times `rtrl`", f"{ratio:.1f} times" if ratio else "", ratio >= least


def growth(rows: Rows) -> tuple[str, str, bool]:
    power = time_exponent(rows, "rtrl_block") or 0
    return "`rtrl_block`'s time from n = 64 to 512: n^3.3 at most", f"n^{power:.2f}" if power else "", power <= 3.3


def over_floor(results: dict, rows: Rows, n: int) -> float | None:
    """rtrl_block's time over that of reading its M once."""
    took, speeds = us(rows, "recredit", "rtrl_block", n), results["limits"]["read_gbs"].get(str(n))
    return took and speeds and took / (1e-3 * costs.floor(n) / (sum(speeds) / len(speeds)))


def against_floor(results: dict, rows: Rows) -> tuple[str, str, bool]:
    ratios = {n: ratio for n in sizes(rows) if (ratio := over_floor(results, rows, n))}
    value = ", ".join(f"{ratio:.2f} (n = {n})" for n, ratio in ratios.items())
    return "`rtrl_block` below 1.7 times the time of reading M once, at every n", value, max(ratios.values(), default=0) < 1.7


def against_braintrace(rows: Rows) -> tuple[str, str, bool]:
    ratios = {(rule, n): faster(rows, "BrainTrace", rule, n) for who, rule, n in rows if who == "BrainTrace"}
    ratios = {name: ratio for name, ratio in ratios.items() if ratio}
    value = ", ".join(f"{rule} n = {n}: {ratio:.2f}" for (rule, n), ratio in ratios.items() if ratio < 2)
    if ratios:
        (rule, n), ratio = min(ratios.items(), key=lambda each: each[1])
        value = f"least {rule} at n = {n}: {ratio:.2f} times" + (f"; below 2: {value}" if value else "")
    return "2 times BrainTrace on every row that both can do", value, min(ratios.values(), default=0) >= 2


def compile_time(rows: Rows) -> tuple[str, str, bool]:
    took = {name[1:]: row["compile_s"] for name, row in rows.items() if name[0] == "recredit" and name[1] != "grad"}
    (rule, n), most = max(took.items(), key=lambda each: each[1])
    return "compile time below 5 s for every rule", f"most {rule} at n = {n}: {most:.1f} s", most < 5


def memory(rows: Rows) -> tuple[str, str, bool]:
    ratios = {name[1:]: peak(row) for name, row in rows.items() if name[0] == "recredit" and name[1] != "grad"}
    (rule, n), most = max(ratios.items(), key=lambda each: each[1])
    above = dict.fromkeys(rule for (rule, _), ratio in ratios.items() if ratio > 1.3)
    value = f"most {rule} at n = {n}: {most:.2f} times"
    if above:
        within = sum(ratio <= 1.3 for ratio in ratios.values())
        value += f"; {within} of {len(ratios)} rows are within, but not all of {', '.join(above)}"
    return "peak memory within 1.3 times the learner's", value, most <= 1.3
