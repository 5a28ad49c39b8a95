"""The tasks, by the names that the command line uses."""

from collections.abc import Callable

from recredit.tasks.add import Add as Add
from recredit.tasks.characters import Characters as Characters
from recredit.tasks.characters import read_characters
from recredit.tasks.context import Context as Context
from recredit.tasks.copy import Copy as Copy
from recredit.tasks.digits import Digits as Digits
from recredit.tasks.evidence import Evidence as Evidence
from recredit.tasks.flip_flop import FlipFlop as FlipFlop
from recredit.tasks.mackey_glass import MackeyGlass as MackeyGlass
from recredit.tasks.match_to_sample import MatchToSample as MatchToSample
from recredit.tasks.mimic import Mimic as Mimic
from recredit.tasks.parity import Parity as Parity
from recredit.tasks.perceptual import Perceptual as Perceptual
from recredit.tasks.recorded import Recorded as Recorded
from recredit.tasks.recorded import read_recording
from recredit.tasks.romo import Romo as Romo
from recredit.tasks.sine import Sine as Sine
from recredit.tasks.task import AbstractTask as AbstractTask
from recredit.tasks.task import Sample as Sample
from recredit.tasks.trials import AbstractTrialTask as AbstractTrialTask

TASKS: dict[str, Callable[..., AbstractTask]] = {
    "add": Add,
    "mimic": Mimic,
    "recorded": read_recording,
    "copy": Copy,
    "parity": Parity,
    "match_to_sample": MatchToSample,
    "romo": Romo,
    "perceptual": Perceptual,
    "context": Context,
    "evidence": Evidence,
    "flip_flop": FlipFlop,
    "sine": Sine,
    "mackey_glass": MackeyGlass,
    "characters": read_characters,
    "digits": Digits,
}
