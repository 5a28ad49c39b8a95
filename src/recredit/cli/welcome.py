"""What `recredit` alone prints: the first screen."""

import textwrap

from cyclopts import App

from recredit import __version__
from recredit.cli.console import console
from recredit.cli.groups import GROUPS

WHAT = (
    "How does each synapse of a recurrent network learn what its past activity was worth? recredit compares learning rules "
    "under one contract, computes Fig. 1 of Marschall, Cho & Savin 2019, and shows which operations of a rule a neural circuit "
    "could perform."
)
TRY = {
    "recredit rules uoro": "a learning rule explained: equations, settings, verdicts",
    "recredit train --rule rflo rtrl --task add --steps 20000 --seeds 4": "two rules learn a task and share a figure",
    "recredit fig1 --scale quick": "the paper's figure at a small scale: about a minute",
}
FLAGS = ("--help", "-h", "--version")


def first_screen(app: App) -> None:
    """Print what recredit is, three commands to try, and the commands by groups."""
    console.print(f"recredit {__version__}", style="bold")
    console.print(textwrap.fill(WHAT, min(console.width, 100)))
    console.print("\nTry:", style="bold")
    for command, what in TRY.items():
        console.print(f"  {command}", style="cyan")
        console.print(f"      {what}")
    console.print("\nCommands:", style="bold")
    for group in GROUPS:
        names = [name for name in app if app[name].group == (group,) and name not in FLAGS]
        console.print(f"  {group.name:<19}{', '.join(names)}")
    console.print("\nrecredit --help says what each command does, recredit COMMAND --help how to use it.", style="dim")
