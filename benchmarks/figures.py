"""The numbers that the page and the picture show, out of what was measured."""

from statistics import median

import numpy as np

FIT_FROM = 64  # exponents are fitted from this size on

Rows = dict[tuple[str, str, int], dict]


def by_name(results: dict) -> Rows:
    """The rows that were measured, by contender, rule and n."""
    return {(row["contender"], row["rule"], row["n"]): row for row in results["rows"] if row["us"]}


def sizes(rows: Rows) -> list[int]:
    return sorted({n for _, _, n in rows})


def rules(rows: Rows) -> list[str]:
    """recredit's own, in the order measured."""
    return list(dict.fromkeys(rule for contender, rule, _ in rows if contender == "recredit" and rule != "grad"))


def us(rows: Rows, contender: str, rule: str, n: int) -> float | None:
    """Microseconds per step of one seed on one core: the median over repeats and cores."""
    row = rows.get((contender, rule, n))
    return row and median(np.ravel(row["us"]))


def faster(rows: Rows, contender: str, rule: str, n: int, than: str | None = None) -> float | None:
    """How many times the time of recredit's rule the contender's `than` takes (None: its own of that rule), a core each."""
    ours = us(rows, "recredit", rule, n)
    theirs = us(rows, contender, than or ("rtrl" if rule == "rtrl_block" else rule), n)
    return theirs / ours if ours and theirs else None


def exponent(points: dict[int, float]) -> float | None:
    """p of the best fit value ~ n^p, of least squares in logarithms; None of fewer than two values above 0."""
    points = {n: value for n, value in points.items() if n >= FIT_FROM and value}
    return float(np.polyfit(np.log(list(points)), np.log(list(points.values())), 1)[0]) if len(points) > 1 else None


def time_exponent(rows: Rows, rule: str, contender: str = "recredit") -> float | None:
    return exponent({n: us(rows, contender, rule, n) for n in sizes(rows)})


def state_exponent(rows: Rows, rule: str) -> float | None:
    return exponent({n: row["state_bytes"] for (who, name, n), row in rows.items() if (who, name) == ("recredit", rule)})


def peak(row: dict) -> float:
    """The most memory of a call over that of its learners."""
    return row["peak_bytes"] / row["learner_bytes"] / row["seeds"]


def resident(row: dict) -> float | None:
    """The same of memory that was resident; None where the learners are too small for the system's pages to tell."""
    learners = row["learner_bytes"] * row["seeds"]
    return 1 + row["grown_bytes"] / learners if learners > 2**25 and row.get("grown_bytes") is not None else None


def spread(rows: Rows) -> float:
    """Half of the rows differ by less than this between their slowest and fastest call, relative to the median."""
    return median(float(np.ptp(row["us"]) / np.median(row["us"])) for row in rows.values())
