"""A learning rule of your own, compared with RFLO on the same seeds: run `.venv/bin/python examples/own_rule.py`.

The rule: RFLO's eligibility trace, but every unit receives the same signal, the mean of the credits (a broadcast third factor).
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from recredit import RULES, TASKS, AbstractRule, train


class BroadcastState(eqx.Module):
    B: Float[Array, "n m"]


class Broadcast(AbstractRule):
    """An eligibility trace per synapse, gated by one signal for all units."""

    def init(self, net, key):
        return BroadcastState(jnp.zeros_like(net.W))

    def update(self, net, step, state, key):
        c_bar = step.error @ net.W_out
        B = (1 - net.alpha) * state.B + jnp.outer(net.gain(step.v), step.r_hat)
        return c_bar.mean() * B, BroadcastState(B)


def final_losses(steps: int = 50_000, seeds: int = 4) -> dict[str, float]:
    """Mean loss over the last tenth of training, by rule."""
    rules = {"fixed_w": RULES["fixed_w"](), "rflo": RULES["rflo"](), "broadcast": Broadcast()}
    curves = {name: train(rule, TASKS["add"](), seeds=seeds, steps=steps, bin=steps // 10).loss for name, rule in rules.items()}
    return {name: float(loss.isel(step=-1).mean()) for name, loss in curves.items()}


if __name__ == "__main__":
    for name, loss in final_losses().items():
        print(f"{name:10s} {loss:.4f} nats")
