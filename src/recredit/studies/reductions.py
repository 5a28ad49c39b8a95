"""Which rule another one becomes, with which settings and on which networks: the arrows of the family tree.

`tests/test_reductions.py` proves every one of them, by running both rules on the same steps with weights that stand still.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

STEPS = 6
"""Steps of the runs that prove them: what "all steps" stands for in the settings below."""


@dataclass(frozen=True)
class Reduction:
    """A general rule that, with some settings or on some networks, gives the gradient of a special one."""

    general: Mapping[str, Any]
    """A rule's name and the settings that make it the other, {name, settings...}."""
    special: Mapping[str, Any]
    """What it becomes, likewise."""
    words: str
    """When it does, in a few words."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the networks on which it does; none: all that both rules are for."""
    kind: Literal["at each step", "in sum", "on average", "on average, of little noise"] = "at each step"
    """What of the gradient is equal: each step's; the sum over a trial, with what is told at its end; each step's mean over all
    draws, from a learning state of zeros on; or this mean but for what falls as the square of `noise`."""
    noise: str = ""
    """The setting that has to be small, of the rule, or as "network.noise"."""
    factor: float = 1.0
    """The general rule's gradient over the special one's."""

    def __str__(self) -> str:
        return f"{self.general['name']} is {self.special['name']}: {self.words}"


def _rule(name: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, **settings}


LITTLE: Any = "on average, of little noise"
RTRL, RFLO, IMMEDIATE = _rule("rtrl"), _rule("rflo"), _rule("immediate")
AS_A_WHOLE = "window of all steps"
NO_SYNAPSES, ALPHA_1, LINEAR = {"connections": "none"}, {"alpha": 1.0}, {"activation": "identity"}

REDUCTIONS: tuple[Reduction, ...] = (
    Reduction(_rule("p_bptt", window=STEPS), RTRL, AS_A_WHOLE),
    Reduction(_rule("f_bptt", window=STEPS), RTRL, AS_A_WHOLE, kind="in sum"),
    Reduction(_rule("e_bptt", window=STEPS), RTRL, AS_A_WHOLE, kind="in sum"),
    Reduction(_rule("rtrl_block"), RTRL, "always"),
    Reduction(_rule("hops", hops=STEPS - 1), RTRL, "hops: all steps"),
    Reduction(_rule("snap", order=2), RTRL, "order 2, all synapses"),
    Reduction(_rule("snap", order=1), _rule("snap1"), "order 1"),
    Reduction(_rule("modprop", types=None, mu=1.0), RTRL, "linear, µ = 1", LINEAR),
    Reduction(_rule("uoro"), RTRL, "mean over draws", kind="on average"),
    Reduction(_rule("kf_rtrl"), RTRL, "mean over draws", kind="on average"),
    Reduction(_rule("r_kf"), RTRL, "mean over draws", kind="on average"),
    Reduction(_rule("ok_rtrl", rank=1), RTRL, "mean over draws", kind="on average"),
    Reduction(_rule("ok_rtrl", rank=STEPS), RTRL, "rank: all steps"),
    Reduction(
        _rule("node_perturbation", decay=1.0, baseline_rate=0.0), RTRL, "mean, no decay, noise → 0", {}, LITTLE, "network.noise"
    ),
    Reduction(_rule("weight_perturbation", decay=1.0), RTRL, "mean, no decay, noise → 0", {}, LITTLE, "sigma"),
    Reduction(RTRL, RFLO, "no recurrent synapses", NO_SYNAPSES),
    Reduction(_rule("hops", hops=0), RFLO, "hops = 0"),
    Reduction(_rule("snap1"), RFLO, "no self-synapses", {"self_synapses": False}),
    Reduction(_rule("e_prop", kappa=0.0), RFLO, "κ = 0"),
    Reduction(_rule("modprop", mu=0.0), RFLO, "µ = 0"),
    Reduction(_rule("cascade", stages=1, rate=0.5), RFLO, "1 stage, rate α, times α", {"alpha": 0.5}, factor=0.5),
    Reduction(_rule("kernl", rate=0.0, inverse_timescale=0.5), RFLO, "rate 0, inverse time scale α", {"alpha": 0.5}),
    Reduction(_rule("hops", hops=1), _rule("mdgl", types=None), "hops = 1, α = 1", ALPHA_1),
    Reduction(RFLO, IMMEDIATE, "α = 1", ALPHA_1),
    Reduction(_rule("p_bptt", window=1), IMMEDIATE, "window of 1"),
    Reduction(_rule("f_bptt", window=1), IMMEDIATE, "window of 1"),
    Reduction(_rule("e_bptt", window=1), IMMEDIATE, "window of 1"),
    Reduction(_rule("pp_prop", decay=0.0), IMMEDIATE, "decay = 0"),
    Reduction(_rule("dni_b", jacobian="exact"), _rule("dni"), "linear, exact J", LINEAR),
    Reduction(_rule("dni_lambda", lam=0.0), _rule("dni"), "λ = 0"),
)
