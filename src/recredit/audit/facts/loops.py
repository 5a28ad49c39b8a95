"""Which numbers of a program come back to themselves, over any number of steps."""

from functools import cached_property

from recredit.audit.facts.neurons import Facts


class Loops(Facts):
    """Facts about the paths of signals."""

    def signals(self, i: int) -> list[int]:
        """What a number is computed from as a signal: not the strengths that transmit it, and no sum over the population."""
        if (product := self.product_sums.get(i)) is not None:
            return [*product.operands[i]]
        if (after := self.following(i)) is not None:
            return [after]
        many = self.graph.op[i].startswith(("sum", "reduce")) and len(self.graph.args[i]) >= self.small.sizes[0]
        return [] if many else [*self.graph.args[i]]

    @cached_property
    def loops(self) -> dict[int, int]:
        """Of each number that comes back to itself, the loop that it is in: a strongly connected component, by Tarjan."""
        index: dict[int, int] = {}
        low: dict[int, int] = {}
        path: list[int] = []
        on_path: set[int] = set()
        found: dict[int, int] = {}
        for root in self.small.roots:
            if root in index:
                continue
            work = []

            def enter(k: int, work: list = work) -> None:
                index[k] = low[k] = len(index)
                path.append(k)
                on_path.add(k)
                work.append((k, iter(self.signals(k))))

            enter(root)
            while work:
                node, rest = work[-1]
                for k in rest:
                    if k not in index:
                        enter(k)
                        break
                    if k in on_path:
                        low[node] = min(low[node], index[k])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[node])
                    if low[node] == index[node]:
                        members = path[path.index(node) :]
                        del path[len(path) - len(members) :]
                        on_path.difference_update(members)
                        if len(members) > 1:
                            found |= {k: int(node) for k in members}
        return found
