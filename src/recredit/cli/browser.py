"""The user's browser."""

import os
import sys
import webbrowser

from recredit.cli.console import console


def show_in_browser(what: str, address: str) -> None:
    """Print an address, and open it in a browser if this machine has a screen: one that runs in the terminal would take it."""
    console.out(f"{what}: {address}")
    if sys.platform in ("darwin", "win32") or {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        webbrowser.open(address)
