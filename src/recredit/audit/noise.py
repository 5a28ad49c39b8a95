"""How random draws enter (criterion v)."""

from recredit.audit.program import Program
from recredit.audit.verdicts import Cell, Evidence


def noise(p: Program) -> Cell:
    """Draws that are added to a variable of each neuron pass; what multiplies, or reaches all synapses at once, does not."""
    graph = p.graph
    if not any(graph.op[i] == "noise" for i in p.reached):
        return Cell("v", "pass", "It draws no random numbers.")
    natural = _own_fluctuations(p)
    multiplied: list[Evidence] = []
    broadcast: list[Evidence] = []
    scaled = _scaled(p)
    for i in sorted(_edge(p, scaled)):
        for parent in p.parents.get(i, []):
            op, args = graph.op[parent], graph.args[parent]
            if parent in scaled:
                continue
            gates = op == "select" and args[0] == i
            if op in ("add", "sub", "select", "sum") and not gates:
                if _lone(p, i) and p.siblings[graph.equation[parent]] > _longest(p):
                    broadcast.append(_evidence(p, i, parent, "is one number added to all entries of a matrix"))
                elif _lone(p, i) and p.siblings[graph.equation[parent]] > 1:
                    multiplied.append(_evidence(p, i, parent, "is one number for all neurons: it is not independent"))
                continue
            if _scalar(p, i) and not _lone(p, i):
                continue  # the noise's own scale, as of its norm
            if _lone(p, i):
                broadcast.append(_evidence(p, i, parent, "is one number for all synapses, which would have to hear it at once"))
            elif not _sources(p, i) <= natural:
                multiplied.append(_evidence(p, i, parent, "multiplies other variables, where it should be added to one"))
    if broadcast:
        return Cell("v", "fail", broadcast[0].sentence, tuple(dict.fromkeys(broadcast)))
    if multiplied:
        return Cell("v", "judgement", multiplied[0].sentence, tuple(dict.fromkeys(multiplied)))
    return Cell("v", "pass", "Its noise is drawn for each neuron and added to a variable of that neuron.")


def _scaled(p: Program) -> set[int]:
    """Nodes that are noise, up to a scale that is one number for the whole network."""
    graph, found = p.graph, set(p.random)
    for i in sorted(p.reached - p.random):
        if graph.op[i] in ("mul", "div"):
            noisy = [a for a in graph.args[i] if a in found]
            other = [a for a in graph.args[i] if a not in found]
            if noisy and all(graph.is_constant(a) or _scalar(p, a) for a in other):
                found.add(i)
    return found


def _edge(p: Program, noisy: set[int]) -> set[int]:
    """The last nodes that are nothing but noise."""
    return {i for i in noisy if any(k not in noisy for k in p.parents.get(i, []))}


def _sources(p: Program, i: int) -> set[int]:
    return {k for k in p.graph.reach([i]) if p.graph.op[k] == "noise"}


def _lone(p: Program, i: int) -> bool:
    """Whether a noise is one number for the whole network: its draw does not grow with it."""
    shapes = {p.graph.data[k][1] for k in _sources(p, i)}
    t = p.large
    return bool(shapes & {t.graph.data[k][1] for k in t.graph.reach(t.roots) if t.graph.op[k] == "noise"})


def _longest(p: Program) -> int:
    """The length of the longest vector of the network's."""
    n, n_in, n_out = p.small.sizes
    return n + max(n_in, n_out) + 1


def _scalar(p: Program, i: int) -> bool:
    """Whether a number is one for the whole network: its equation computes no other."""
    return p.graph.op[i] != "in" and p.siblings[p.graph.equation[i]] == 1


def _own_fluctuations(p: Program) -> set[int]:
    """Noise that is added to the network's own voltages or rates: what a neuron then senses of it is its own activity."""
    found = set()
    for i in _edge(p, p.random):
        for parent in p.parents.get(i, []):
            others = [a for a in p.graph.args[parent] if a != i]
            own = all(p.graph.op[a] == "in" and p.graph.data[a][0] in ("step.v", "step.r", "step.r_prev") for a in others)
            if p.graph.op[parent] in ("add", "sub") and others and own:
                found |= _sources(p, i)
    return found


def _evidence(p: Program, i: int, parent: int, what: str) -> Evidence:
    name = p.label([i])
    others = p.label(a for a in p.graph.args[parent] if a != i)
    return p.evidence(f"{name} × {others}", p.graph.frames[parent], f"The noise {name} {what}.")
