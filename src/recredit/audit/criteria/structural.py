"""The structural criteria, one function each: what the trace shows, and the operation that decides it."""

import functools
from collections.abc import Callable
from dataclasses import replace

from recredit.audit.criteria.copies import second_copy
from recredit.audit.criteria.history import History
from recredit.audit.criteria.local import changes
from recredit.audit.criteria.noise import noise
from recredit.audit.criteria.rates import Rates
from recredit.audit.facts.named import Program
from recredit.audit.program.graph import Ids
from recredit.audit.verdicts import Cell, Evidence

Decide = Callable[[Program], Cell]


def memory(p: Program) -> Cell:
    """The order of each state array in n."""
    big = {name: order for name, order in p.orders.items() if order >= 3}
    if not big and p.order >= 3:
        sentence = f"The state as a whole holds {_growth(p.order)} numbers, in arrays whose number grows."
        return Cell("memory", "fail", sentence, (p.evidence("the state", p.written(next(iter(p.orders))), sentence),))
    if not big:
        largest = max(p.orders.values(), default=0)
        held = "no learning state" if not p.orders else f"a learning state of {_growth(largest)}"
        return Cell("memory", "pass", f"It keeps {held if largest else 'no array that grows with n'}.")
    evidence = tuple(
        p.evidence(
            f"{p.short(name)} : {_growth(order)}", p.written(name), f"The state {p.short(name)} holds {_growth(order)} numbers."
        )
        for name, order in big.items()
    )
    return Cell("memory", "fail", evidence[0].sentence, evidence)


def _growth(order: int) -> str:
    return f"O(n{dict(zip(range(1, 6), ('', '²', '³', '⁴', '⁵'), strict=True)).get(order, f'^{order}')})"


@functools.lru_cache(maxsize=1)  # `vectors` asks for it again
def locality_time(p: Program) -> Cell:
    """State entries that hand earlier values on, or keep them."""
    evidence, history = [], History(p)
    for name, source in history.delay_lines().items():
        what = f"{p.short(name)} ← {p.short(source)}" if source != name else f"{p.short(name)} shifted by one"
        sentence = f"{p.short(name)} stores values of earlier steps: it passes them on from place to place."
        evidence.append(p.evidence(what, p.written(name), sentence))
    for name in history.held():
        sentence = f"{p.short(name)} stores values of earlier steps unchanged until they are overwritten."
        evidence.append(p.evidence(f"{p.short(name)} ← {p.short(name)}, or a new value", p.written(name), sentence))
    for name in history.registers():
        sentence = f"{p.short(name)} stores values of earlier steps in the bits of a number, shifted at each step."
        evidence.append(p.evidence(f"{p.short(name)} ← {p.short(name)}, shifted", p.written(name), sentence))
    if evidence:
        return Cell("locality-time", "fail", evidence[0].sentence, tuple(evidence))
    return Cell("locality-time", "pass", "It uses this step and what the step before left behind.")


def vectors(p: Program) -> Cell:
    """State vectors without an axis of neurons."""
    small, large = p.small.after, p.large.after
    floats = [n for n in small if n in p.small.floating and n in large]
    lone = [n for n in floats if small[n].size > 1 and small[n].shape == large[n].shape and not p.orders.get(n, 1)]
    history = {e.operation.split(" ")[0].split("[")[0] for e in locality_time(p).evidence}
    evidence = tuple(
        p.evidence(
            f"{p.short(n)} : {'×'.join(map(str, small[n].shape))}",
            p.written(n),
            f"{p.short(n)} has {small[n].size} entries, however many neurons there are, so they belong to no neuron.",
        )
        for n in lone
        if p.short(n) not in history
    )
    if evidence:
        return Cell("i", "fail", evidence[0].sentence, evidence)
    return Cell("i", "pass", "Every vector has one entry per neuron.")


def stored(p: Program) -> Cell:
    """Transmitting matrices that are no synapses."""
    evidence = []
    for product in p.transmissions:
        sides = [product.rows] + ([product.vectors] if product.kind == "matrix–matrix product" else [])
        for side in sides:
            if missing := [i for i, entry in p.stored_rows(side).items() if entry is None]:
                matrix = p.label(missing, product.frames)
                sentence = f"{matrix} is computed anew at each step and then transmits: no set of synapses can do that."
                evidence.append(p.evidence(p.show(product), product.frames, sentence))
                break
    if evidence:
        return Cell("ii-stored", "fail", evidence[0].sentence, _once(evidence))
    return Cell("ii-stored", "pass", "Every matrix that transmits is a parameter or a state.")


def local(p: Program) -> Cell:
    """What each synapse's change depends on."""
    bad, weigh, remarks = changes(p)
    if bad:
        return Cell("ii-local", "fail", bad[0].sentence, _once(bad))
    if weigh:
        return Cell("ii-local", "judgement", weigh[0].sentence, _once(weigh))
    more = f" {remarks[0]}" if remarks else ""
    return Cell("ii-local", "pass", "Each change needs only what is available at the synapse and its two neurons." + more)


def rates(p: Program) -> Cell:
    """The vectors that pass through matrices."""
    answer, bad, weigh = Rates(p), [], []
    for product in p.transmissions:
        passing = [i for vector in product.vectors for i in vector]
        answers = {i: answer(i) for i in passing}
        of_synapses = product.kind == "matrix–matrix product"
        for kind, found in (("no", bad), ("mixed", bad if of_synapses else weigh)):
            if wrong := [i for i, a in answers.items() if a.kind == kind]:
                vector = p.label(wrong, product.frames)
                why = "one number per synapse, not a neuron's firing rate" if of_synapses else answers[wrong[0]].why
                sentence = f"{vector} passes through synapses but is {why}."
                found.append(p.evidence(p.show(product), product.frames, sentence))
                break
    if bad:
        return Cell("iii", "fail", bad[0].sentence, _once(bad))
    if weigh:
        return Cell("iii", "judgement", weigh[0].sentence, _once(weigh))
    passing = "Everything that passes through synapses is a firing rate (the error is assumed to be coded by error neurons)."
    return Cell("iii", "pass", passing)


def matrix_products(p: Program) -> Cell:
    """Contractions with free axes on both sides."""
    evidence = [
        p.evidence(p.show(product), product.frames, "Two matrices are multiplied: no biological structure supports that.")
        for product in p.products
        if product.kind == "matrix–matrix product"
    ]
    if evidence:
        return Cell("iv", "fail", f"{evidence[0].operation.split(' : ')[0]} is a matrix–matrix product.", _once(evidence))
    return Cell("iv", "pass", "It never multiplies two matrices.")


def one_way(p: Program) -> Cell:
    """Synapses that are summed along both of their axes, or that transmit and start as a copy of others."""
    lines: dict[str, list[tuple[frozenset[tuple[int, ...]], Evidence | None]]] = {}
    W = p.small.inputs["net.W"]
    lines["net.W"] = [(frozenset((i, j) for j in range(W.shape[1])), None) for i in range(W.shape[0])]
    evidence: list[Evidence] = []
    transmitting: set[str] = set()
    for product in p.transmissions:
        sides = [product.rows] + ([product.vectors] if product.kind == "matrix–matrix product" else [])
        for side in sides:
            entries = p.stored_rows(side)
            transmitting |= {entry[0] for row in side for i in row for entry in p.made(i).entries}
            for row in side:
                found = [entries[i] for i in row if entries[i] is not None]
                names = {entry[0] for entry in found if entry}
                for name in names - {"net.W_out"}:  # the read-out's own use is common to all rules
                    line = frozenset(entry[1] for entry in found if entry and entry[0] == name)
                    here = p.evidence(p.show(product), product.frames, "")
                    crossed = [e.operation if e else "the network" for other, e in lines.get(name, []) if _cross(line, other)]
                    if crossed:
                        sentence = f"{p.short(name)} transmits in one direction here and in the other in {crossed[0]}."
                        evidence.append(replace(here, sentence=sentence))
                    lines.setdefault(name, []).append((line, here))
    followed = _followed(p, transmitting)
    copied, computed = starts(p)
    evidence += [e for name, e in copied.items() if name in followed]
    weigh = [e for name, e in computed.items() if name in followed]
    weigh += [e for name, e in copied.items() if name not in followed and _moved(p, name)]
    for name, array in p.small.after.items():
        if name in transmitting and (source := _copied(p, array, lambda k: _linear(p, k))):
            sentence = f"{p.short(name)} transmits, and is set from the strengths of other synapses, {source}."
            evidence.append(p.evidence(f"{p.short(name)} ← {source}", p.written(name), sentence))
    if evidence:
        return Cell("vii", "fail", evidence[0].sentence, _once(evidence))
    if weigh:
        return Cell("vii", "judgement", weigh[0].sentence, _once(weigh))
    return Cell("vii", "pass", "Each synapse transmits in one direction.")


def _cross(line: frozenset, other: frozenset) -> bool:
    common = len(line & other)
    return common > 0 and min(len(line), len(other)) > 1 and 2 * common <= min(len(line), len(other))


def _followed(p: Program, names: set[str]) -> set[str]:
    """Some matrices, and those of the state from which their entries are set, over any number of steps."""
    graph, found, waiting = p.graph, set(names), [*names]
    while waiting:
        after = p.small.after.get(waiting.pop())
        entries = [] if after is None else after.ravel().tolist()
        parts = {k for i in entries for k in p.parts(i, lambda k: not _mixes(p, k))}
        new = {graph.data[k][0] for k in parts if graph.op[k] == "in" and p.is_matrix(graph.data[k][0])} - found
        found |= new
        waiting += new
    return found


def _moved(p: Program, name: str) -> bool:
    """Whether a state array's entries start as strengths of other synapses than their own: at other places of the matrix."""
    graph, entries = p.graph, p.small.initial[name]
    for place, i in enumerate(entries.ravel().tolist()):
        for k in p.parts(i, lambda k: not _mixes(p, k)):
            if graph.op[k] == "in" and graph.data[k][0] in ("net.W", "net.W_out"):
                source, own = graph.data[k]
                rows, width = (entries if entries.ndim > 1 else p.small.inputs[source]).shape[-2:]
                if own != divmod(place % (rows * width), width):
                    return True
    return False


def starts(p: Program) -> tuple[dict[str, Evidence], dict[str, Evidence]]:
    """Matrices that start as copies of other synapses' strengths, and those that start as numbers made of many of them."""
    copied, computed = {}, {}
    for name, array in p.small.initial.items():
        if not p.is_matrix(name):
            continue
        if source := _copied(p, array, lambda k: not _mixes(p, k)):
            sentence = f"{p.short(name)} starts as a copy of {source}: the strengths of other synapses, carried over."
            copied[name] = p.evidence(f"{p.short(name)} ← {source} at init", p.started(name), sentence)
        elif source := _mixed(p, array):
            sentence = f"{p.short(name)} starts from {source}: it may carry over the strengths of other synapses."
            computed[name] = p.evidence(f"{p.short(name)} ← {source} at init", p.started(name), sentence)
    return copied, computed


def _mixes(p: Program, k: int) -> bool:
    """Whether a number is made of many at once."""
    return p.graph.op[k] == "sum" or p.graph.op[k].startswith(("reduce", "unknown:"))


def _mixed(p: Program, array: Ids) -> str:
    """The parameters of which an array's entries are made, many at once, and how: "svd of W_out".

    As many numbers as there are units and inputs, as the norms of all rows and columns, scale synapses and copy none.
    """
    graph, entries = p.graph, array.ravel().tolist()
    made: dict[int, frozenset[str]] = {}
    for k in sorted(graph.reach(entries)):  # arguments have lower numbers
        own = {graph.data[k][0]} & {"net.W", "net.W_out"} if graph.op[k] == "in" else set()
        made[k] = frozenset(own).union(*(made[a] for a in graph.args[k]))
    mixed = {k for i in entries for k in p.parts(i, lambda k: not _mixes(p, k)) if made[k] and _mixes(p, k)}
    if len(mixed) <= sum(p.small.inputs["net.W"].shape):
        return ""
    by = sorted({graph.op[k].removeprefix("unknown:") for k in made if made[k] and graph.op[k].startswith("unknown:")})
    names = sorted({p.short(name) for k in mixed for name in made[k]})
    return f"{', '.join(by) or 'sums of products'} of {' and '.join(names)}"


def _linear(p: Program, k: int) -> bool:
    """Whether an operation only adds and scales by constants."""
    args = p.graph.args[k]
    return p.graph.op[k] in ("add", "sub", "neg", "select") or (
        p.graph.op[k] in ("mul", "div") and any(p.graph.is_constant(a) for a in args)
    )


def _copied(p: Program, array: Ids, through: Callable[[int], bool]) -> str:
    """The parameters whose entries, one by one, set an array's entries."""
    graph, names = p.graph, set()
    for i in array.ravel().tolist():
        parts = p.parts(i, through)
        names |= {graph.data[k][0] for k in parts if graph.op[k] == "in" and graph.data[k][0] in ("net.W", "net.W_out")}
    return " and ".join(p.short(name) for name in sorted(names))


def _once(evidence: list[Evidence]) -> tuple[Evidence, ...]:
    """Without those that say the same of the same line."""
    return tuple({(e.operation, e.line, e.sentence): e for e in evidence}.values())


STRUCTURAL: dict[str, Decide] = {
    "memory": memory,
    "locality-time": locality_time,
    "i": vectors,
    "ii-stored": stored,
    "ii-local": local,
    "iii": rates,
    "iv": matrix_products,
    "v": noise,
    "vi": second_copy,
    "vii": one_way,
}
