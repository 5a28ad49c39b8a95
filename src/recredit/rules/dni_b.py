"""DNI(b): DNI adapted to a neural circuit, as the paper proposes.

DNI with the learned Jacobian of Eq. 3 in place of J, and phi on the bootstrap label, so that only firing rates pass through
synapses (the read-out (5) of DNI stays linear). The published program also used random feedback, which the paper does not
mention: here that is a separate setting, `feedback`.

@inproceedings{marschall2019lazy, title={Evaluating biological plausibility of learning algorithms the lazy way},
  author={Marschall, Owen and Cho, Kyunghyun and Savin, Cristina}, booktitle={NeurIPS Workshop}, year={2019}}
"""

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.blocks.jacobian import AbstractJacobian, LearnedJacobian
from recredit.rules.dni import DNI


def DNIb(
    rate: float = 1e-3,
    refresh: int = 1,
    jacobian: AbstractJacobian = LearnedJacobian(),
    feedback: AbstractFeedback = ExactFeedback(),
) -> DNI:
    """DNI with a learned Jacobian and squashed credit: the paper's candidate for a neural circuit.

    `rate`: learning rate of A; the published program's 1e-3. `refresh`: steps between copies of A to A_frozen; 1, since the
    paper has no frozen copy (the published program: 5). `jacobian`: how the rule obtains the network's Jacobian; by default
    from synapses that learn it, as in Eq. 3. `feedback`: how the read-out's error reaches the units; by default through W_out,
    which gives the exact credit.
    """
    return DNI(rate, refresh, True, jacobian, feedback)
