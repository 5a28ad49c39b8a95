"""What the audit refuses, in one sentence that names it, and what it admits not to know."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from audit_rules.case import credit, gated, immediate

from recredit.audit import audit
from recredit.rule import AbstractRule

audit = inspect.unwrap(audit)  # without the tests' own type checks, which would refuse first
FAR_TABLE = np.linspace(0.0, 1.0, 7)


class Base(AbstractRule):
    """A sound rule, of which each rule below gets one thing wrong."""

    def init(self, net, key):
        return {"trace": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        trace = 0.9 * state["trace"] + immediate(net, step)
        return credit(net, step)[:, None] * trace, {"trace": trace}


class Raises(Base):
    def update(self, net, step, state, key):
        raise RuntimeError("the spring is broken")


class InitRaises(Base):
    def init(self, net, key):
        raise KeyError("no such spring")


class Transposed(Base):
    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return G.T, state


class Lonely(Base):
    def update(self, net, step, state, key):
        return super().update(net, step, state, key)[0]


class Grows(Base):
    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return G, {"trace": state["trace"], "extra": step.r}


class Reshapes(Base):
    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return G, {"trace": state["trace"][:, :-1]}


class Rounds(Base):
    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return G, {"trace": jnp.round(state["trace"]).astype(jnp.int32)}


class Branches(Base):
    def update(self, net, step, state, key):
        if step.error.sum() > 0:  # asks a traced array for its value
            return jnp.zeros_like(net.W), state
        return super().update(net, step, state, key)


class Holds(Base):
    scales: jax.Array = eqx.field(default_factory=lambda: jnp.ones(3))

    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return G * self.scales.sum(), state


class ReadsAGlobal(Base):
    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return G * FAR_TABLE.sum() * jnp.asarray(FAR_TABLE).max(), state


def closes_over(hidden_gains):
    class Closes(Base):
        def update(self, net, step, state, key):
            G, state = Base.update(self, net, step, state, key)
            return G * jnp.sum(hidden_gains * jnp.mean(step.r)), state

    return Closes()


REFUSED = {
    "update raises": (Raises, "Raises.*the spring is broken"),
    "init raises": (InitRaises, "InitRaises.*no such spring"),
    "a gradient of the wrong shape": (Transposed, r"Transposed.*gradient.*shape|Transposed.*shape.*gradient"),
    "no pair": (Lonely, "Lonely.*(pair|two|tuple)"),
    "a state of another structure": (Grows, "Grows.*(extra|structure)"),
    "a state of another shape": (Reshapes, "Reshapes.*trace"),
    "a state of another type": (Rounds, "Rounds.*trace"),
    "a branch on a value": (Branches, "Branches"),
    "an array in a field": (Holds, "scales"),
    "an array of the module": (ReadsAGlobal, "FAR_TABLE"),
    "a captured array of JAX": (lambda: closes_over(jnp.arange(5.0)), "hidden_gains"),
    "a captured array of NumPy": (lambda: closes_over(np.arange(5.0)), "hidden_gains"),
    "a class for a rule": (lambda: Base, "Base"),
    "a name for a rule": (lambda: "rflo", "rflo"),
    "nothing for a rule": (lambda: None, "None"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_rule_is_refused_in_a_sentence_that_names_it(name):
    make, pattern = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=pattern) as caught:
        audit(make(), measure=False)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert message.rstrip().endswith((".", "?"))


def test_the_sound_rule_itself_passes():
    assert audit(Base(), measure=False).passes


class SingularValues(Base):
    def update(self, net, step, state, key):
        state = super().update(net, step, state, key)[1]
        strength = jnp.linalg.svd(state["trace"], compute_uv=False)
        return gated(net, step, strength), state


class Fourier(Base):
    def update(self, net, step, state, key):
        return gated(net, step, jnp.fft.fft(step.r).real), state


class Cholesky(Base):
    def update(self, net, step, state, key):
        L = jnp.linalg.cholesky(jnp.eye(net.n, dtype=net.W.dtype) + jnp.outer(step.r, step.r))
        return gated(net, step, jnp.diagonal(L)), state


class Callback(Base):
    def update(self, net, step, state, key):
        secret = jax.pure_callback(lambda r: np.cumsum(r).astype(r.dtype), step.r, step.r)
        return gated(net, step, secret), state


UNKNOWN = {SingularValues: "svd", Fourier: "fft", Cholesky: "cholesky", Callback: "pure_callback"}


@pytest.mark.parametrize("rule", UNKNOWN)
def test_an_operation_that_the_audit_does_not_know_is_named_and_left_to_judgement(rule):
    cells = audit(rule(), measure=False).cells.values()
    open_ = [cell for cell in cells if cell.verdict == "judgement"]
    assert open_
    told = [" ".join([cell.why, *(e.operation + e.sentence for e in cell.evidence)]) for cell in open_]
    assert any(UNKNOWN[rule] in text for text in told)


class UnknownButUnused(Base):
    def update(self, net, step, state, key):
        _ = jnp.linalg.svd(state["trace"])[0] @ jnp.fft.fft(step.r).real
        return super().update(net, step, state, key)


def test_an_unknown_operation_whose_result_is_thrown_away_is_not_named():
    assert {cell.verdict for cell in audit(UnknownButUnused(), measure=False).cells.values()} <= {"pass", "n/a"}
