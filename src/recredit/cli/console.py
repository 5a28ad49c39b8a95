"""Where the command line prints: text as it is, so that [brackets] in a user's name for something are not markup."""

from rich.console import Console


def plain_console(stderr: bool = False) -> Console:
    """A terminal, or a pipe, that prints what it is given."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


console = plain_console()
if not console.width:
    console.width = 80  # COLUMNS=0 leaves room for nothing


def wide_console() -> Console:
    """Standard output for tables and pages; a pipe has no edge, and COLUMNS=0 names none."""
    wide = plain_console()
    if not wide.is_terminal or not wide.width:
        wide.width = 10_000
    return wide
