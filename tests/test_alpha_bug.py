"""The published program left alpha out of the immediate influence of six rules: here a setting, off by default."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import run_rule, small_net, steps_of, stream

from recredit.rules import RULES

AFFECTED = {"rtrl", "rtrl_block", "e_bptt", "f_bptt", "uoro", "kf_rtrl", "r_kf"}  # the six, and RTRL's fast path


def test_the_six_rules_and_no_other_can_repeat_the_slip():
    assert {name for name, make in RULES.items() if "published_alpha_bug" in make().__dataclass_fields__} == AFFECTED


@pytest.mark.parametrize("name", sorted(AFFECTED))
def test_the_slip_scales_the_gradient_by_one_over_alpha(name):
    net = small_net(alpha=0.3)
    steps = steps_of(net, *stream(net, 12))

    def grads(rule):
        state = rule.init(net, jax.random.key(0))
        if hasattr(state, "A"):  # the stochastic rules start from random factors: start these from zero
            state = eqx.tree_at(lambda s: (s.A, s.B), state, replace_fn=jnp.zeros_like)
        return run_rule(rule, net, steps, state)[0]

    right = grads(RULES[name]())
    assert abs(right).max() > 1e-3
    np.testing.assert_allclose(grads(RULES[name](published_alpha_bug=True)), right / net.alpha, rtol=1e-10, atol=1e-12)
