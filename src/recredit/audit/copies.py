"""Second, perturbed copies of the network (criterion vi).

A second network is a loop, over any number of steps: from a number through W, or through anything made of W entry by entry,
and through a function that is not affine, in whatever order, back to that number. The network's own loop is none of the rule's.
"""

from recredit.audit.products import Product
from recredit.audit.program import Program
from recredit.audit.verdicts import Cell, Evidence


def second_copy(p: Program) -> Cell:
    """The network's own map, W and phi, on something else than its own rates, or with other weights."""
    bad, weigh = [], []
    through = [product for product in p.transmissions if any(made_of_weights(p, i) for row in product.rows for i in row)]
    loops = _loops(p)
    for product in through:
        round_about = [i for node in product.sums for i in product.operands[node] if i in loops and loops[i] == loops.get(node)]
        if round_about and _has_activation(p, loops, loops[round_about[0]]):
            what = p.label(round_about, product.frames)
            sentence = f"{what} goes through W and an activation function back to itself: a second network beside the first."
            bad.append(p.evidence(p.show(product), product.frames, sentence))
        elif _activated(p, product.sums):
            _once_through(p, product, bad, weigh)
    if bad:
        return Cell("vi", "fail", bad[0].sentence, tuple(dict.fromkeys(bad)))
    if weigh:
        return Cell("vi", "judgement", weigh[0].sentence, tuple(dict.fromkeys(weigh)))
    return Cell("vi", "pass", "It runs no second copy of the network.")


def _once_through(p: Program, product: Product, bad: list[Evidence], weigh: list[Evidence]) -> None:
    """W, then an activation, but no loop."""
    graph = p.graph
    made = [p.made(i) for row in product.rows for i in row]
    operands = [i for vector in product.vectors for i in vector if not graph.is_constant(i)]
    own = ("step.r_prev", "step.r_hat", "step.r")
    foreign = [i for i in operands if not (graph.op[i] == "in" and graph.data[i][0] in own)]
    bare = all(len(one.entries) <= 1 and not one.noise for one in made)
    if any(one.activity is not None for one in made) or (bare and not foreign):
        return
    here, what = p.show(product), p.label(foreign or operands, product.frames)
    if not bare:
        sentence = f"Weights made of W, and then an activation function, are applied to {what}: the network is run with others."
        weigh.append(p.evidence(here, product.frames, sentence))
    elif all(graph.op[i] == "in" and _is_copy(p, i) for i in foreign):
        sentence = f"W and the activation function are applied to earlier rates, {what}: the network is run a second time."
        weigh.append(p.evidence(here, product.frames, sentence))
    else:
        sentence = f"W and the activation function are applied to {what}: a second network beside the first."
        bad.append(p.evidence(here, product.frames, sentence))


def made_of_weights(p: Program, i: int) -> bool:
    """Whether a number is made of an entry of W by elementwise operations, over any number of steps."""
    graph, seen, stack = p.graph, set(), [i]
    while stack:
        k = stack.pop()
        if k in seen or k in p.product_sums or graph.op[k] in ("sum", "noise", "key"):
            continue
        seen.add(k)
        if graph.op[k] != "in":
            stack.extend(graph.args[k])
        elif graph.data[k][0] == "net.W":
            return True
        elif (entry := graph.data[k])[0] in p.small.after and p.is_matrix(entry[0]):
            stack += [int(p.small.initial[entry[0]][entry[1]]), int(p.small.after[entry[0]][entry[1]])]
    return False


def _signals(p: Program, i: int) -> list[int]:
    """What a number is computed from as a signal: not the strengths that transmit it, and no sum over the population."""
    if (product := p.product_sums.get(i)) is not None:
        return [*product.operands[i]]
    if (after := p.following(i)) is not None:
        return [after]
    many = p.graph.op[i].startswith(("sum", "reduce")) and len(p.graph.args[i]) >= p.small.sizes[0]
    return [] if many else [*p.graph.args[i]]


def _loops(p: Program) -> dict[int, int]:
    """Of each number that comes back to itself, the loop that it is in (strongly connected components, by Tarjan)."""
    index, low, on, component = {}, {}, [], {}
    within = set()
    for root in p.small.roots:
        if root in index:
            continue
        work = [(root, iter(_signals(p, root)))]
        index[root] = low[root] = len(index)
        on.append(root)
        within.add(root)
        while work:
            node, rest = work[-1]
            for k in rest:
                if k not in index:
                    index[k] = low[k] = len(index)
                    on.append(k)
                    within.add(k)
                    work.append((k, iter(_signals(p, k))))
                    break
                if k in within:
                    low[node] = min(low[node], index[k])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    members = on[on.index(node) :] if on[-1] != node else [node]
                    del on[len(on) - len(members) :]
                    within.difference_update(members)
                    component |= dict.fromkeys(members, node) if len(members) > 1 else {}
    return component


def _has_activation(p: Program, loops: dict[int, int], loop: int) -> bool:
    """Whether a number of a loop is a function, not affine, of one other of it."""
    return any(loops.get(a) == loop for i, at in loops.items() if at == loop for a in p.function_of(i) if a != i)


def _activated(p: Program, sums: tuple[int, ...]) -> bool:
    """Whether a product goes on, by weighted sums, into a function that is not affine."""
    graph, stack, seen = p.graph, list(sums), set(sums)
    while stack:
        i = stack.pop()
        for parent in p.parents.get(i, []):
            squared = all(graph.op[k] == "sum" for k in p.parents.get(parent, [parent]))  # a term of a norm
            if i in p.function_of(parent) and not squared:
                return True
            if graph.op[parent] in ("add", "sub", "neg", "select", "mul", "div") and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return False


def _is_copy(p: Program, i: int) -> bool:
    """Whether a state entry is a copy of the network's rates, or of another such entry."""
    seen = set()
    while i not in seen and (after := p.following(i)) is not None:
        seen.add(i)
        i = after
    return p.graph.op[i] == "in" and p.graph.data[i][0].startswith("step.r")
