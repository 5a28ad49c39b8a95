# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour of recredit
#
# We train a recurrent network with a rule for online learning, compare several rules, and write a rule of our own. Then
# the audit shows which of its operations a neural circuit could perform, and we repair those that it could not.
#
# All runs here are short: the whole tour takes about a minute.

# %%
import subprocess
import sys
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from jaxtyping import Array, Float

import recredit

# %% [markdown]
# ## Train a rule
#
# `train` takes a rule and a task, and returns a dataset: the loss of each seed in bins of steps, the trained weights,
# and a description of each. The rule here is RFLO, which keeps one eligibility trace per synapse. The task is *Add*:
# the target is a function of the inputs 3 and 5 steps ago, so the network has to remember.

# %%
data = recredit.train("rflo", "add", optimizer=1e-3, steps=10_000, bin=500, seeds=4)
print(data)

# %%
data.loss.plot.line(x="step", add_legend=False)
plt.title("RFLO on Add, one line per seed")
plt.show()
# %% [markdown]
# ## Compare rules
#
# Each seed has the same data and the same initial weights under every rule. `fixed_w` trains only the output weights;
# `rtrl_block` computes the exact gradient. The task's known levels show how good a loss is: a network that remembers
# nothing cannot do better than "nothing learned".

# %%
losses = {"rflo": data.loss}
for rule in ("fixed_w", "rtrl_block"):
    losses[rule] = recredit.train(rule, "add", optimizer=1e-3, steps=10_000, bin=500, seeds=4).loss


# %%
def compare(losses):
    for rule, loss in losses.items():
        mean, error = loss.mean("seed"), loss.std("seed", ddof=1) / loss.sizes["seed"] ** 0.5
        plt.plot(loss.step, mean, label=rule)
        plt.fill_between(loss.step, mean - error, mean + error, alpha=0.2)
    for what, level in recredit.TASKS["add"]().floors().items():
        plt.axhline(level, color="grey", linestyle=":", linewidth=0.8)
        plt.annotate(what, (1.01, level), xycoords=("axes fraction", "data"), fontsize=7, va="center")
    plt.xlabel("network steps")
    plt.ylabel("cross-entropy (nats)")
    plt.legend()
    plt.show()


compare(losses)


# %% [markdown]
# ## Write a rule
#
# A rule is a class with two methods. `init` returns what it keeps from step to step, and `update` turns one step of the
# network into an estimate of the gradient of the loss with respect to the weights.
#
# Ours is RFLO with a second source of credit: the error of each unit also goes one synapse back, to the units that
# drive it.


# %%
class OneBackState(eqx.Module):
    B: Float[Array, "n m"]
    back: Float[Array, "n n"]


class OneBack(recredit.AbstractRule):
    """Eligibility traces, gated by credit that also goes one synapse back."""

    way_back: Literal["same synapses", "own synapses"] = "same synapses"

    def init(self, net, key):
        return OneBackState(jnp.zeros_like(net.W), jax.random.normal(key, (net.n, net.n)) / net.n**0.5)

    def update(self, net, step, state, key):
        credit, gain = step.error @ net.W_out, net.gain(step.v)
        back = net.W_rec if self.way_back == "same synapses" else state.back
        credit = credit + jnp.tanh(credit * gain) @ back
        B = (1 - net.alpha) * state.B + jnp.outer(gain, step.r_hat)
        return credit[:, None] * B, OneBackState(B, state.back)


losses["one back"] = recredit.train(OneBack(), "add", optimizer=1e-3, steps=10_000, bin=500, seeds=4).loss
compare(losses)


# %% [markdown]
# ## Audit it
#
# The audit reads the rule's program. It traces every number back to its origin, and says which operations a neural
# circuit could perform, by the criteria of Marschall, Cho & Savin (2019). Nothing has to be declared, and names do not
# matter.


# %%
def verdicts(rule):
    found = recredit.audit(rule)
    for criterion, cell in found.cells.items():
        print(f"{cell.verdict:10s}{criterion:15s}{'' if cell.verdict == 'pass' else cell.why}")


verdicts(OneBack())

# %% [markdown]
# One criterion fails: the credit travels backwards through the same synapses through which activity travels forwards.
#
# ## Repair it
#
# Separate synapses for the way back, random and fixed, avoid this:

# %%
verdicts(OneBack(way_back="own synapses"))

# %%
losses["one back, repaired"] = recredit.train(
    OneBack(way_back="own synapses"), "add", optimizer=1e-3, steps=10_000, bin=500, seeds=4
).loss
compare(losses)

# %% [markdown]
# We knew what to change. For a rule in a file, `recredit audit FILE --repair` tries every combination of its switches
# and building blocks and says which of them passes:

# %%
command = [sys.executable, "-m", "recredit", "audit", "node_perturbation.py", "--repair"]
print(subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout)

# %% [markdown]
# ## Where to go from here
#
# - `recredit train --help` explains how to train on all cores, and how to resume an interrupted run.
# - `recredit audit --explain FILE` prints every operation of a rule, with its line and what it fails.
# - [docs/judge_your_own_rule.md](../docs/judge_your_own_rule.md) has more about the audit,
#   and [docs/rules.md](../docs/rules.md) more about the rules and how they relate.
