"""Fixed W: the recurrent weights do not learn; only the read-out does.

    G_ij = 0                                                                                                    (1)

State: none. Cost: no memory, no time. The lower bound of Fig. 1: an echo-state read-out of the untrained network.

@inproceedings{marschall2019lazy, title={Evaluating biological plausibility of learning algorithms the lazy way},
  author={Marschall, Owen and Cho, Kyunghyun and Savin, Cristina}, booktitle={NeurIPS Workshop}, year={2019}}
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.network import RNN
from recredit.rule import AbstractRule, Step


class FixedW(AbstractRule):
    """Only the read-out weights learn."""

    def init(self, net: RNN, key: PRNGKeyArray) -> None:
        return None

    def update(self, net: RNN, step: Step, state: None, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], None]:
        return jnp.zeros_like(net.W), None  # (1)

    def restart(self, net: RNN, state: None) -> tuple[Float[Array, "P m"], None]:
        return jnp.zeros_like(net.W), None
