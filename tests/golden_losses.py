"""Writes the losses that `recredit doctor` compares with: python tests/golden_losses.py, from the repository's root."""

import json

from recredit.studies.health import GOLDEN, RUNS, short_loss


def losses():
    """The losses of all short runs, by task and rule."""
    found = {}
    for task, rule in RUNS:
        found.setdefault(task, {})[rule] = round(short_loss(task, rule), 6)
    return found


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(losses(), indent=1) + "\n")
