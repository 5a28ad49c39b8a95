"""`recredit` alone, its help, what explains what has a name, and completion in a shell."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import refused

from recredit import RULES, TASKS
from recredit.cli import catalogue
from recredit.cli.main import app, main
from recredit.network import UNITS
from recredit.optimizers import clips, optimizers, schedules

ROOT = Path(__file__).parent.parent


def printed(capsys, monkeypatch, *arguments, width=10_000):
    """What a command prints on a terminal so many columns wide."""
    monkeypatch.setattr(catalogue.console, "width", width)
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_alone_it_says_what_it_is_what_to_try_and_all_commands(capsys):
    main([])
    out = capsys.readouterr().out
    commands = [name for name in app if not name.startswith("-")]
    listed = out.split("Commands:")[1]
    assert len(commands) > 12
    assert all(re.search(rf"[ ,]{name}[,\n]", listed) for name in commands)
    tried = re.findall(r"^  recredit (\w+)", out, re.MULTILINE)
    assert len(tried) == 3
    assert {*tried} <= {*commands}
    assert len(out.splitlines()) < 24  # a terminal's usual height


def test_every_command_is_in_a_group_of_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert re.findall(r"─ (\w[\w ]*\w) ─", out) == [
        "Compute",
        "Look at results",
        "Judge rules",
        "What there is",
        "This installation",
    ]


LISTS = {"rules": RULES, "tasks": TASKS, "networks": UNITS, "optimizers": {**optimizers(), **clips(), **schedules()}}


@pytest.mark.parametrize("width", [80, 120, 10_000])
@pytest.mark.parametrize("command", LISTS)
def test_a_list_fits_and_has_a_line_for_each_name_and_says_what_explains_one(capsys, monkeypatch, command, width):
    out = printed(capsys, monkeypatch, command, width=width)
    assert all(re.search(rf"^  {name}  +\w", out, re.MULTILINE) for name in LISTS[command])
    assert max(map(len, out.splitlines())) <= width
    assert f"recredit {command} NAME explains" in out
    assert "…" not in out


@pytest.mark.parametrize("width", [80, 120])
def test_a_rule_is_explained_and_fits(capsys, monkeypatch, width):
    out = printed(capsys, monkeypatch, "rules", "dni", width=width)
    assert max(map(len, out.splitlines())) <= width
    words = " ".join(out.split())
    for part in (
        "A linear prediction of future credit",
        "c* = c_bar^{t-1} + u J^t",
        "refresh",
        "a whole number of at least 1",
        "Steps between copies of A to A_frozen",
        "exact, through_weights or learned",
        "with jacobian=learned",
        "jacobian.init_from",
        "Units leaky, learned_leak, voltage, gru, lstm, alif, lru.",
        "Memory 2n² + 2n·n_out + 4n + n_out numbers",
        "multiplications per step",
        "✗ ii-stored",
        "✓ vii",
        "recredit audit dni",
        "@inproceedings{jaderberg2017decoupled",
    ):
        assert part in words, part
    assert re.search(r"^File +\S*dni\.py$", out, re.MULTILINE)


def test_to_a_pipe_each_setting_is_one_line(capsys, monkeypatch):
    out = printed(capsys, monkeypatch, "rules", "rflo")
    assert re.search(
        r"^ feedback +exact +exact, random, .*weight_mirror +How the read-out's error .* credit\. *$", out, re.MULTILINE
    )


def test_several_are_explained_and_one_of_ones_own(capsys, monkeypatch):
    out = printed(capsys, monkeypatch, "rules", "immediate", f"{ROOT}/examples/own_rule.py:Broadcast")
    assert [line for line in out.splitlines() if line in ("immediate", "Broadcast")] == ["immediate", "Broadcast"]
    assert "It has no settings." in out
    assert "@misc{merin2026temporal" in out
    assert "Reference" not in out.split("Broadcast\n")[1]


def test_a_rule_that_is_not_for_all_units_says_why(capsys, monkeypatch):
    out = " ".join(printed(capsys, monkeypatch, "rules", "kernl").split())
    assert "leaky, voltage; not learned_leak, gru, lstm, alif, lru: KeRNL is for units of one state variable" in out
    assert "learns from the network's noise" in printed(capsys, monkeypatch, "rules", "node_perturbation")


def test_a_task_is_explained_with_what_is_known_of_its_loss(capsys, monkeypatch):
    out = printed(capsys, monkeypatch, "tasks", "romo", "mimic", width=80)
    assert all(f"  {level:.4f}  {what}" in out for what, level in TASKS["romo"]().floors().items())
    assert re.search(r"^  noise  default 1; a number of at least 0$", out, re.MULTILINE)
    assert "Source      Marschall et al. 2019, p. 4, with the published program's sizes." in out
    assert "Known levels" not in out.split("\nmimic\n")[1]


def test_units_are_explained_with_their_voltages(capsys, monkeypatch):
    out = printed(capsys, monkeypatch, "networks", "gru")
    assert "    h' = z h + (1 - z) tanh(v_input + r v_units)\n" in out
    assert "reset (reads everything), update (reads everything), input (reads the inputs)" in " ".join(out.split())


def test_an_optimizer_a_clip_and_a_schedule_are_explained(capsys, monkeypatch):
    out = printed(capsys, monkeypatch, "optimizers", "adam", "clip", "linear_schedule", width=80)
    assert "b1  default 0.9; a number of at least 0 and below 1" in out
    assert "optimizer.clip=clip optimizer.clip.max_delta=VALUE" in " ".join(out.split())
    assert "Kingma et al, Adam: A Method for Stochastic Optimization" in " ".join(out.split())


def test_bibtex_is_printed_alone_each_entry_once(capsys, monkeypatch):
    out = printed(capsys, monkeypatch, "rules", "e_bptt", "f_bptt", "uoro", "--bibtex")
    assert re.findall(r"@\w+\{(\w+),", out) == ["werbos1990backpropagation", "tallec2017unbiased"]
    assert out.startswith("@article{werbos")
    everything = printed(capsys, monkeypatch, "rules", "--bibtex")
    keys = re.findall(r"^@\w+\{(\w+),", everything, re.MULTILINE)
    assert len(keys) == len(set(keys)) > 15
    assert {each.count("{") - each.count("}") for each in everything.split("\n\n")} == {0}
    assert '{\\"u}' in everything


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rules", "dnii"], 'Did you mean "dni"?'),
        (["rules", "dni", "--bibtexx"], "Did you mean --bibtex?"),
        (["rules", "missing.py:Mine"], "the file missing.py does not exist"),
        (["tasks", "mimick"], 'Did you mean "mimic"?'),
        (["networks", "grru"], 'Did you mean "gru"?'),
        (["optimizers", "adm"], 'Did you mean "adam"?'),
    ],
    ids=" ".join,
)
def test_what_is_unknown_is_refused_in_one_sentence(capfd, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(capfd, *arguments)


COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
command=$(complete -p recredit); command=${command#*-F }
${command%% *} recredit "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
echo "${COMPREPLY[*]}"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_bash_completes_commands_options_and_choices(tmp_path, capsys):
    script = tmp_path / "completion"
    with pytest.raises(SystemExit) as ended:
        main(["--install-completion", "--shell", "bash", "--output", str(script)])
    assert ended.value.code == 0

    def completed(*words):
        command = ["bash", "--norc", "-c", COMPLETE, "bash", script, "recredit", *words]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()

    assert completed("tra") == ["train"]
    assert {"rules", "doctor", "fig1", "results"} <= {*completed("")}
    assert completed("train", "--ru") == ["--rule"]
    assert completed("rules", "--b") == ["--bibtex"]
    assert completed("fig1", "--scale", "") == ["paper", "quick"]
    assert completed("audit", "--format", "l") == ["latex"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_scripts_of_other_shells_know_the_commands(tmp_path, shell, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["--install-completion", "--shell", shell, "--output", str(tmp_path / "completion")])
    assert ended.value.code == 0
    script = (tmp_path / "completion").read_text()
    assert all(name in script for name in ("train", "doctor", "optimizers", "bibtex"))
