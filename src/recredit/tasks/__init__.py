"""The tasks, by the names that the command line uses."""

from collections.abc import Callable

from recredit.tasks.add import Add as Add
from recredit.tasks.mimic import Mimic as Mimic
from recredit.tasks.recorded import Recorded as Recorded
from recredit.tasks.recorded import read_recording
from recredit.tasks.task import AbstractTask as AbstractTask
from recredit.tasks.task import Sample as Sample

TASKS: dict[str, Callable[..., AbstractTask]] = {"add": Add, "mimic": Mimic, "recorded": read_recording}
