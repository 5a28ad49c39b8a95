from recredit.audit import audit as audit
from recredit.audit.verdicts import Audit as Audit
from recredit.blocks.feedback import FEEDBACKS as FEEDBACKS
from recredit.blocks.feedback import AbstractFeedback as AbstractFeedback
from recredit.blocks.feedback import ExactFeedback as ExactFeedback
from recredit.blocks.feedback import RandomFeedback as RandomFeedback
from recredit.blocks.jacobian import JACOBIANS as JACOBIANS
from recredit.blocks.jacobian import AbstractJacobian as AbstractJacobian
from recredit.blocks.jacobian import ExactJacobian as ExactJacobian
from recredit.blocks.jacobian import LearnedJacobian as LearnedJacobian
from recredit.blocks.jacobian import ThroughWeights as ThroughWeights
from recredit.network import UNITS as UNITS
from recredit.network import AbstractUnits as AbstractUnits
from recredit.network import LeakyRNN as LeakyRNN
from recredit.network import Network as Network
from recredit.rule import AbstractRule as AbstractRule
from recredit.rule import Clock as Clock
from recredit.rule import Step as Step
from recredit.rules import RULES as RULES
from recredit.runs.trained import load as load
from recredit.tasks import TASKS as TASKS
from recredit.tasks import AbstractTask as AbstractTask
from recredit.tasks import AbstractTrialTask as AbstractTrialTask
from recredit.tasks import Sample as Sample
from recredit.training.loop import train as train
from recredit.training.step import Trainer as Trainer

__version__: str
