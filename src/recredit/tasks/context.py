"""Context-dependent integration: of two noisy streams of evidence, follow the one that the context names.

Inputs: the fixation point, on until the decision; two channels a stream, of mean 0.5 ± coherence / 200 and noisy during the
stimulus, each stream with a sign and a coherence of its own, 5, 15 or 50 %; and two for the context, one of which is on from
the trial's start to the end of the stimulus.

Source: Mante, Sussillo, Shenoy & Newsome 2013; numbers of `ContextDecisionMaking-v0` of NeuroGym 2.3.1 with explicit context,
but with a delay drawn evenly, and a fixation point that shows when to answer.
"""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from recredit.network import Head
from recredit.tasks.guesses import guess_loss
from recredit.tasks.task import Sample
from recredit.tasks.trials import AbstractTrialTask, in_steps, setting


class Context(AbstractTrialTask):
    """Of two streams of evidence, follow the one that the context names."""

    noise: float = setting("Context's noise", 1.0)
    """Noise of a channel: its standard deviation at each step is this over the square root of dt in ms."""
    fixation: float = setting("Context's fixation", 300.0)
    """Duration of the first epoch, ms."""
    stimulus: float = setting("Context's stimulus", 750.0, above=0)
    """Duration of the stimulus, ms."""
    shortest_delay: float = setting("Context's shortest_delay", 300.0)
    """Least duration of the delay, ms."""
    longest_delay: float = setting("Context's longest_delay", 900.0)
    """Greatest duration of the delay, ms."""
    decision: float = setting("Context's decision", 100.0, above=0)
    """Duration of the decision, ms."""
    dt: float = setting("Context's dt", 20.0, above=0)
    """Duration of a network step, ms."""
    n_in: int = eqx.field(default=7, init=False)
    """The fixation point, two channels for each of the two streams, two for the context."""
    n_out: int = eqx.field(default=2, init=False)
    """Which channel of the stream that counts was the stronger one."""
    head: Head = eqx.field(default="softmax", init=False, static=True)
    """Cross-entropy: one output per answer."""

    COHERENCES = (5.0, 15.0, 50.0)  # %

    @property
    def timing(self) -> dict[str, tuple[int, int]]:
        delay = (self.shortest_delay, self.longest_delay)
        return in_steps(self, self.dt, fixation=self.fixation, stimulus=self.stimulus, delay=delay, decision=self.decision)

    def draw(self, key: PRNGKeyArray) -> dict[str, Array]:
        k_context, k_answer, k_coherence = jax.random.split(key, 3)
        return {
            "context": jax.random.randint(k_context, (), 0, 2),
            "answers": jax.random.randint(k_answer, (2,), 0, 2),  # what each stream says
            "coherences": jax.random.choice(k_coherence, jnp.array(self.COHERENCES), (2,)),
        }

    def at(self, trial: dict[str, Array], epoch: Int[Array, ""], step: Int[Array, ""], key: PRNGKeyArray) -> Sample:
        context, decision = trial["context"], epoch == 3
        half = trial["coherences"] / 200 * (1 - 2 * trial["answers"])
        channels = 0.5 + jnp.stack([half, -half], axis=1).ravel()
        channels += self.noise / math.sqrt(self.dt) * jax.random.normal(key, (4,))
        cue = jnp.where(epoch < 2, jax.nn.one_hot(context, 2, dtype=float), 0)
        x = jnp.concatenate([jnp.stack([1.0 - decision]), jnp.where(epoch == 1, channels, 0), cue])
        return self.choice(x, trial["answers"][context], decision)

    def floors(self) -> dict[str, float]:
        """Mean cross-entropy (nats), through the noise, of a learner that knows nothing, all of both streams but not the
        context, the last step of the stream that counts, or all of it.
        """
        evidence = [sign * coherence / 100 for coherence in self.COHERENCES for sign in (-1, 1)]
        both = [(1, pair, each > 0) for pair in itertools.product(evidence, repeat=2) for each in pair]
        one = [(1, (each,), each > 0) for each in evidence]
        last, whole = (self.noise * math.sqrt(2 / (steps * self.dt)) for steps in (1, self.timing["stimulus"][0]))
        return {
            "nothing learned": math.log(2),
            "context ignored": guess_loss(both, whole),
            "last step of the right stream": guess_loss(one, last),
            "all of the right stream": guess_loss(one, whole),
        }
