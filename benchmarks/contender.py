"""A contender on one core: it holds compiled programs and times them when bench.py asks.

    python benchmarks/contender.py MODULE

A line of JSON in, a line out: {"do": "prepare", "rule": ..., "n": ..., "seeds": ...} compiles and describes a program, {"do":
"time", "rule": ..., "calls": ...} tells the microseconds that a step of one seed takes in so many calls of it, {"do": "close"}
forgets all programs, and {"do": "measure", "what": ...} asks for one of the module's other numbers.

MODULE, of this folder, gives `candidates(rule, n, seeds)`, functions that make a program each, of which the fastest is kept;
`MEASURES`, by name; and `forget`. A program has `call()`, its `seeds` and `steps` a call, and what there is to tell `about` it.
Needs nothing but Python, as it serves in two environments.
"""

import gc
import importlib
import json
import sys
import time
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Contender:
    """The programs that one module made, and what is asked of them."""

    def __init__(self, module):
        self.module, self.programs = module, {}

    def prepare(self, rule: str, n: int, seeds: int) -> dict:
        """Compile and try out the candidates, and keep the fastest, or tell why there is none."""
        best, errors = None, []
        for make in self.module.candidates(rule, n, seeds):
            try:
                program = make()
                grown = growth(program)
                seconds = min(duration(program) for _ in range(2))
                each = seconds / program.steps / program.seeds
                if best is None or each < best[0]:
                    best = each, seconds, grown, program
            except Exception as error:
                errors.append(error)
        if best is None:
            raise errors[0]
        _, seconds, grown, program = best
        self.programs[rule] = program
        told = {"seconds": seconds, "grown_bytes": grown, "seeds": program.seeds, "steps": program.steps}
        return told | program.about

    def time(self, rule: str, calls: int) -> dict:
        program = self.programs[rule]
        return {"us": 1e6 * duration(program, calls) / calls / program.steps / program.seeds}

    def close(self) -> dict:
        self.programs.clear()
        self.module.forget()
        gc.collect()
        return {}

    def measure(self, what: str, **settings) -> dict:
        return {"value": self.module.MEASURES[what](**settings)}


def duration(program, calls: int = 1) -> float:
    """Seconds."""
    begin = time.perf_counter()
    for _ in range(calls):
        program.call()
    return time.perf_counter() - begin


def growth(program) -> int | None:
    """How far a first call raises the most memory that was resident above what was before it; None off Linux."""
    if not CLEAR.exists():
        program.call()
        return None
    before = resident("VmRSS")
    CLEAR.write_text("5")  # sets the peak back to now
    program.call()
    return resident("VmHWM") - before


def resident(what: str) -> int:
    """Bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(what))
    return 1024 * int(line.split()[1])


def serve(contender: Contender) -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(contender, request.pop("do"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(Contender(importlib.import_module(sys.argv[1])))
