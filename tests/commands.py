"""What tests of the command line share."""

import re
from pathlib import Path

import pytest

from recredit.cli.main import main


def refused(capfd, *arguments):
    """The one sentence with which the command line refuses; nothing else is printed, and nothing is written."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    out, err = capfd.readouterr()
    assert ended.value.code == 2
    assert out == ""
    assert re.fullmatch(r"recredit: .+\n", err)
    assert sorted(Path().rglob("*")) == before
    return err
