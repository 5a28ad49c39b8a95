"""Polynomials in the network's sizes n, n_in, n_out, fitted exactly to counts."""

import itertools
import re
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

Sizes = tuple[int, int, int]
Powers = tuple[int, int, int]
NAMES = ("n", "n_in", "n_out")
# For the 35 coefficients of degree 4, and some over to check them. There are never fewer units than inputs or outputs: rules
# may ask for that, as those that draw orthogonal feedback do.
SIZES: tuple[Sizes, ...] = tuple(
    (n, n_in, n_out) for n in range(6, 12) for n_in in range(2, 7) for n_out in range(2, 7) if n + n_in + n_out <= 15
)
AFFINE_SIZES: tuple[Sizes, ...] = ((5, 2, 3), (7, 3, 2), (6, 5, 4), (9, 4, 7), (11, 6, 5), (8, 7, 3), (13, 5, 11))


class Polynomial(dict[Powers, Fraction]):
    """Coefficients by the powers of n, n_in, n_out."""

    def __add__(self, other: "Polynomial") -> "Polynomial":
        total = Polynomial(self)
        for powers, value in other.items():
            total[powers] = total.get(powers, Fraction(0)) + value
        return Polynomial({p: v for p, v in total.items() if v})

    def __mul__(self, other: "Polynomial") -> "Polynomial":
        total = Polynomial()
        for (p, a), (q, b) in itertools.product(self.items(), other.items()):
            total += Polynomial({(p[0] + q[0], p[1] + q[1], p[2] + q[2]): a * b})
        return total

    def __call__(self, sizes: Sizes) -> Fraction:
        """Its value at a network's sizes."""
        n, n_in, n_out = sizes
        return sum((v * n**a * n_in**b * n_out**c for (a, b, c), v in self.items()), Fraction(0))

    def __str__(self) -> str:
        """As "n²·n_in + 2n + 1"."""
        terms = []
        for powers, value in sorted(self.items(), key=lambda item: (-sum(item[0]), tuple(-k for k in item[0]))):
            factors = [name + ("", "²", "³", "⁴")[k - 1] for name, k in zip(NAMES, powers) if k]
            size = "" if abs(value) == 1 and factors else str(abs(value))
            terms.append(("−" if value < 0 else "+", size + "·".join(factors)))
        text = " ".join(f"{sign} {term}" for sign, term in terms)
        return text.removeprefix("+ ") or "0"


def order(text: str) -> int:
    """The power of n in which a polynomial grows, of its text, while inputs and outputs stay as many as they are."""
    return max([0, *("¹²³⁴".index(power or "¹") + 1 for power in re.findall(r"(?<![_a-z])n(?!_)([²³⁴]?)", text))])


def fit(sizes: Sequence[Sizes], values: Sequence[int], degree: int) -> Polynomial | None:
    """The polynomial of lowest degree, at most `degree`, that goes through all values; None if there is none."""
    for d in range(degree + 1):
        powers = range(d + 1)
        monomials = [(a, b, c) for a in powers for b in powers for c in powers if a + b + c <= d]
        if len(monomials) >= len(sizes):
            return None
        table = np.array([[float(n**a * n_in**b * n_out**c) for a, b, c in monomials] for n, n_in, n_out in sizes])
        solved, _, rank, _ = np.linalg.lstsq(table, np.array(values, float), rcond=None)
        if rank < len(monomials):  # these sizes do not determine the coefficients
            return None
        found = Polynomial({p: Fraction(v).limit_denominator(100) for p, v in zip(monomials, solved) if abs(v) > 1e-6})
        if all(found(size) == value for size, value in zip(sizes, values, strict=True)):
            return found
    return None


def dimension(polynomial: Polynomial) -> str:
    """A dimension's name: m for n + n_in + 1."""
    return "m" if polynomial == {(1, 0, 0): 1, (0, 1, 0): 1, (0, 0, 0): 1} else str(polynomial).replace(" ", "")


_TERM = re.compile(r"(\d+(?:/\d+)?)?((?:n(?:_in|_out)?[²³⁴]?(?:·(?=n)|$))*)")


def value(text: str, sizes: Sizes) -> float | None:
    """The value of a polynomial's text, as "n²·n_in + 2n − 1", at a network's sizes; None for a text that is no polynomial."""
    total = 0.0
    for term in text.replace("− ", "+ −").removeprefix("+ ").split(" + "):
        found = _TERM.fullmatch(term.removeprefix("−"))
        if not found or not found[0]:
            return None
        size = float(Fraction(found[1] or 1))
        for name, power in re.findall(r"(n(?:_in|_out)?)([²³⁴]?)", found[2]):
            size *= float(sizes[NAMES.index(name)]) ** ("¹²³⁴".index(power or "¹") + 1)
        total += -size if term.startswith("−") else size
    return total
