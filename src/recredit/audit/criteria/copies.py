"""Second, perturbed copies of the network (criterion vi).

A second network is a loop, over any number of steps: from a number through W, or through anything made of W entry by entry, and
through a function that is not affine, in any order, back to that number. The network's own loop does not belong to the rule.
"""

from recredit.audit.facts.named import Program
from recredit.audit.facts.products import Product
from recredit.audit.verdicts import Cell


def second_copy(p: Program) -> Cell:
    """The network's own map, W and phi, applied to something other than its own rates, or with other weights."""
    bad, weigh, loops = [], [], p.loops
    active = {loop for i, loop in loops.items() if any(a != i and loops.get(a) == loop for a in p.function_of(i))}
    for product in p.transmissions:
        through = [node for node in product.sums if any(made_of_weights(p, i) for i in product.lines[node])]
        back = [i for node in through for i in product.operands[node] if loops.get(i) in active and loops[i] == loops.get(node)]
        if back:
            what = p.label(back, product.frames)
            sentence = f"{what} goes through W and an activation function back to itself: a second network alongside the first."
            bad.append(p.evidence(p.show(product), product.frames, sentence))
        elif ahead := [i for node in through for i in product.operands[node] if _activated(p, node) and _is_ahead(p, i)]:
            what = p.label(ahead, product.frames)
            sentence = f"W and an activation function are applied to their own output, {what}: a second network for some steps."
            bad.append(p.evidence(p.show(product), product.frames, sentence))
        elif sentence := next((found for node in through if (found := _run_again(p, product, node))), ""):
            weigh.append(p.evidence(p.show(product), product.frames, sentence))
        elif not p.audited.is_recurrent and any(_of_one_row(p, product, node) for node in through):
            sentence = f"W is applied to {p.label(product.vectors[0], product.frames)} again: without synapses between units, "
            sentence += "no loop shows whether they are run a second time."
            weigh.append(p.evidence(p.show(product), product.frames, sentence))
    if bad:
        return Cell("vi", "fail", bad[0].sentence, tuple(dict.fromkeys(bad)))
    if weigh:
        return Cell("vi", "judgement", weigh[0].sentence, tuple(dict.fromkeys(weigh)))
    return Cell("vi", "pass", "It runs no second copy of the network.")


def _of_one_row(p: Program, product: Product, node: int) -> bool:
    """Whether a line of a product is made of one row of W, as a voltage is."""
    entries = [entry for i in product.lines[node] if (entry := p.stored(i))]
    return len({entry[1][0] for entry in entries if entry[0] == "net.W"}) == 1


def _run_again(p: Program, product: Product, node: int) -> str:
    """What W and an activation are applied to, if it makes another run of the network, for one step: "" if it does not."""
    graph, made = p.graph, [p.made(i) for i in product.lines[node]]
    operands = [i for i in product.operands[node] if not graph.is_constant(i)]
    if any(one.activity is not None for one in made) or not _activated(p, node):
        return ""
    if any(one.noise for one in made):
        what = p.label(operands, product.frames)
        return f"Perturbed weights, then an activation function, are applied to {what}: the network is run with other weights."
    own = ("step.r_prev", "step.r_hat", "step.r")
    foreign = [i for i in operands if not (graph.op[i] == "in" and graph.data[i][0] in own)]
    if foreign and all(graph.op[i] == "in" and _is_copy(p, i) for i in foreign):
        what = p.label(foreign, product.frames)
        return f"W and the activation function are applied to earlier rates, {what}: the network is run a second time."
    if shaken := [i for i in foreign if i in p.noisy]:
        what = p.label(shaken, product.frames)
        return f"W and the activation function are applied to {what}, perturbed by noise: the network is run a second time."
    return ""


def _is_ahead(p: Program, i: int) -> bool:
    """Whether a number is computed, within the step, by W and an activation function."""
    seen, stack = set(), [i]
    while stack:
        k = stack.pop()
        if k not in seen and p.following(k) is None:
            seen.add(k)
            stack.extend(p.signals(k))
    return any(
        _activated(p, k, seen) and any(made_of_weights(p, j) for j in p.product_sums[k].lines[k])
        for k in seen & p.product_sums.keys()
    )


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


def _activated(p: Program, node: int, within: set[int] | None = None) -> bool:
    """Whether a product goes on, by weighted sums, into a function that is not affine; `within` these numbers, if given."""
    graph, stack, seen = p.graph, [node], {node}
    while stack:
        i = stack.pop()
        for parent in p.parents.get(i, []):
            if within is not None and parent not in within:
                continue
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
