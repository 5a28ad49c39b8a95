"""`recredit doctor`: what it checks is right here, and what is wrong is found."""

import json

import jax
import pytest
from golden_losses import losses

from recredit.cli import doctor
from recredit.cli.main import main
from recredit.rules import RFLO
from recredit.studies import health
from recredit.studies.health import Check


@pytest.fixture(scope="module")
def found():
    return losses()


def test_the_losses_that_are_known_are_those_of_the_runs(found):
    known = health.golden()
    assert (
        {(task, rule) for task in known for rule in known[task]} == {*health.RUNS} == {(t, r) for t in found for r in found[t]}
    )
    for task, rule in health.RUNS:  # here compiled in another way than a user's
        assert found[task][rule] == pytest.approx(known[task][rule], rel=health.SAME / 10)


def test_the_known_losses_are_not_those_of_weights_that_stand_still():
    still = health.short_loss("add", "fixed_w")
    for rule, loss in health.golden()["add"].items():
        assert abs(loss / still - 1) > 5 * health.SAME, rule


def test_rtrl_is_exact_here_and_another_rule_would_be_found(monkeypatch):
    assert health.rtrl_error() < 1e-14
    monkeypatch.setattr(health, "RTRL", RFLO)
    assert health.rtrl_error() > 1e-3


def told(monkeypatch, capsys, *passes):
    """What the doctor prints where the checks come out so, and its exit code."""
    monkeypatch.setattr(
        doctor,
        "checks",
        lambda: iter([("this", None), *((f"check {k}", Check(f"check {k}", "so", ok)) for k, ok in enumerate(passes))]),
    )
    monkeypatch.setattr(doctor, "keep_programs", lambda: None)
    monkeypatch.setattr(doctor.console, "width", 200)
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    return capsys.readouterr().out, ended.value.code


def test_all_is_well_here(monkeypatch, capsys):
    out, code = told(monkeypatch, capsys, True, True)
    assert code == 0
    assert out.endswith("All is well.\n")
    for what in (
        f"jax {jax.__version__}",
        "Python 3.",
        "cpu",
        "may be used",
        "recredit/programs",
        "parsl",
        "pyarrow",
        "xarray",
    ):
        assert what in out
    assert "passes      check 0: so" in out


def test_a_failed_check_is_said_and_ends_with_1(monkeypatch, capsys):
    out, code = told(monkeypatch, capsys, True, False)
    assert code == 1
    assert "FAILS       check 1: so" in out
    assert "Advice      This machine does not compute what it should" in out
    assert "All is well" not in out


def test_a_package_that_is_missing_is_said_with_what_installs_it(monkeypatch, capsys):
    monkeypatch.setitem(doctor.OPTIONAL, "no-such-package", ("nothing", "none"))
    out, code = told(monkeypatch, capsys, True)
    assert code == 0
    assert "no no-such-package, for nothing: pip install 'recredit[none]'" in out


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false", "XLA_FLAGS is set (--xla_cpu_multi_thread_eigen=false)"),
        ("JAX_PLATFORMS", "cpu", "JAX_PLATFORMS is set to cpu"),
    ],
)
def test_odd_surroundings_are_advised_of(monkeypatch, variable, value, sentence):
    monkeypatch.delenv(variable, raising=False)
    assert not [each for each in doctor.advice([]) if sentence in each]
    monkeypatch.setenv(variable, value)
    assert [each for each in doctor.advice([]) if sentence in each]


def test_few_cores_and_a_gpu_left_alone_are_advised_of(monkeypatch):
    monkeypatch.setattr(doctor, "cores", lambda: [0])
    monkeypatch.setattr(doctor.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    advice = " ".join(doctor.advice([]))
    assert "Only one of 8 cores may be used" in advice
    assert "There is an NVIDIA GPU" in advice


def test_flags_that_xla_refuses_are_a_failure(monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", "--no_such_flag=1")
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 1
    assert "XLA refuses XLA_FLAGS=--no_such_flag=1" in " ".join(capsys.readouterr().out.split())


def test_the_known_losses_are_in_the_package():
    assert health.GOLDEN.parent.name == "studies"
    assert json.loads(health.GOLDEN.read_text())["add"]["rtrl"] < 0.65
