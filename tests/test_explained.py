"""Everything that has a name is explained, from its source: what it is, every setting, and where it comes from."""

import re
from pathlib import Path

import pytest

import recredit
from recredit import RULES, TASKS
from recredit.studies.docstrings import of_parameters, plain, without_references
from recredit.studies.explained import KINDS, block_settings, explained, found, names

ROOT = Path(__file__).parent.parent
EVERYTHING = [(kind, name) for kind in KINDS for name in names(kind)]
ENTRY = re.compile(r"@(article|inproceedings|misc|book)\{(\w+), (\w+=\{.*\},\s+)+\w+=\{.*\}\}", re.DOTALL)


@pytest.mark.parametrize(("kind", "name"), EVERYTHING, ids=" ".join)
def test_everything_that_has_a_name_is_explained(kind, name):
    told = explained(kind, name)
    assert (told.kind, told.name) == (kind, name)
    assert told.what.endswith((".", ")", "]"))
    assert "\n" not in told.what
    assert told.file.is_file()
    assert told.equations or kind in ("optimizer", "clip", "schedule")
    assert "Source:" not in told.equations
    for setting in told.settings:
        assert re.match(r"[\w\[(].*\S", setting.meaning), setting
        assert "`None`" not in setting.meaning
        assert setting.allowed, setting
    assert len({setting.name for setting in told.settings}) == len(told.settings)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_cites_a_paper_or_says_that_there_is_none(name):
    told = explained("rule", name)
    if not told.references:
        assert "No paper: " in told.equations
        assert name == "random_walk"
    for entry in told.references:
        assert ENTRY.fullmatch(entry), entry
        assert entry.count("{") == entry.count("}")
        assert all(f" {field}={{" in " ".join(entry.split()) for field in ("title", "author", "year"))
        assert '{"' not in entry  # an umlaut whose backslash Python has taken
    assert "@" not in told.equations


def test_one_key_is_one_paper():
    entries = {entry for name in RULES for entry in explained("rule", name).references}
    keys = [ENTRY.fullmatch(entry)[2] for entry in entries]
    assert len(keys) == len(set(keys)) > 15


@pytest.mark.parametrize("kind", ["task", "units"])
def test_tasks_and_units_say_where_they_come_from_unless_they_are_the_users_own_data(kind):
    without = {name for name in names(kind) if not explained(kind, name).references}
    assert without == ({"recorded", "characters"} if kind == "task" else set())


def settings(kind, name):
    return {setting.name: setting for setting in explained(kind, name).settings}


SAID = [
    ("rule", "dni", "rate", "a number of at least 0", "0.001"),
    ("rule", "dni", "refresh", "a whole number of at least 1", "1"),
    ("rule", "dni", "squash", "true or false", "false"),
    ("rule", "dni", "jacobian", "exact, through_weights or learned", "exact"),
    ("rule", "dni_b", "jacobian", "exact, through_weights or learned", "learned"),
    ("rule", "dni_b", "rate", "a number of at least 0", "0.001"),
    ("rule", "dni_lambda", "trace", "exact or local", "exact"),
    ("rule", "dni_lambda", "refresh", "a whole number of at least 1", "1"),
    ("rule", "kernl", "reset", "a whole number of at least 1, or left out", "none"),
    ("rule", "kernl", "rate", "a number of at least 0", "5e-06"),
    ("rule", "cascade", "rate", "a number above 0 and at most 1", "0.5"),
    ("rule", "miconi", "keep", "a number from 0 to 1", "0.05"),
    ("task", "mimic", "p", "a number from 0 to 1", "0.5"),
    ("task", "romo", "dt", "a number above 0", "20"),
    ("task", "copy", "symbols", "a whole number of at least 2", "8"),
    ("task", "recorded", "file", "the path of a file", ""),
    ("task", "recorded", "test", "a number between 0 and 1", "0.2"),
    ("units", "lstm", "forget_bias", "a number", "1"),
    ("units", "leaky", "activation", "tanh, relu, sigmoid, identity or softplus", "tanh"),
    ("network", "network", "W_rec", "orthogonal, gaussian, identity, zero or the path of a file", "orthogonal"),
    ("network", "network", "excitatory", "a number from 0 to 1, or left out", "none"),
    ("jacobian", "learned", "init_from", "W_rec, leaky or zero", "W_rec"),
    ("optimizer", "adam", "b1", "a number of at least 0 and below 1", "0.9"),
    ("optimizer", "adam", "learning_rate", "a number of at least 0", "0.0001"),
    ("optimizer", "noisy_sgd", "key", "a whole number of at least 0", "0"),
    ("schedule", "cosine_decay_schedule", "decay_steps", "a whole number of at least 1", ""),
    ("schedule", "linear_onecycle_schedule", "pct_start", "a number from 0 to 1", "0.3"),
    ("clip", "clip_by_global_norm", "max_norm", "a number above 0", ""),
]


@pytest.mark.parametrize(("kind", "name", "setting", "allowed", "default"), SAID, ids=lambda each: each.replace("/", "_")[:20])
def test_what_is_allowed_and_the_default_are_read_from_the_code(kind, name, setting, allowed, default):
    told = settings(kind, name)[setting]
    assert (told.allowed, told.default) == (allowed, default)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("rule", name) for name in RULES] + [("task", name) for name in TASKS if name not in ("recorded", "characters")],
)
def test_the_allowed_choices_and_limits_are_those_that_are_checked(kind, name):
    _, make_it = found(kind, name)
    for setting in explained(kind, name).settings:
        if (
            setting.default
            and not setting.default.isalpha()
            and (limit := re.search(r"(?:at least|from) (\d+)", setting.allowed))
        ):
            with pytest.raises(ValueError, match=r"must (lie in|be a whole number)"):
                make_it(**{setting.name: int(limit[1]) - 1})


def test_building_blocks_have_settings_of_their_own():
    told = block_settings(RULES["dni"])
    assert [*told] == ["jacobian=learned", "feedback=kolen_pollack", "feedback=weight_mirror"]
    assert [setting.name for setting in told["jacobian=learned"].settings] == ["rate", "init_from", "regressors"]


def test_what_is_inherited_is_explained_where_it_is_written():
    assert settings("rule", "dni_lambda")["rate"] == settings("rule", "dni")["rate"]
    assert settings("rule", "dni_b")["jacobian"].meaning.startswith(
        "How the rule obtains the network's Jacobian; by default from synapses that learn it"
    )


OWN = '''
"""Mine: its equations.

    G = 0
"""
import recredit
class Base(recredit.AbstractRule):
    rate: float = 0.5
    """How fast."""
class Mine(Base):
    """What it is.

    More of it.
    """
    depth: int | None = None
    bare = 3
    other: float = 2.0
    def init(self, net, key): ...
    def update(self, net, step, state, key): ...
'''


def test_a_class_of_ones_own_is_explained_as_far_as_it_says(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    told = explained("rule", f"{tmp_path}/own.py")
    assert (told.name, told.what, told.details) == ("Mine", "What it is.", "More of it.")
    assert told.equations == "Mine: its equations.\n\n    G = 0"
    assert [(setting.name, setting.meaning, setting.default) for setting in told.settings] == [
        ("rate", "How fast.", "0.5"),
        ("depth", "", "none"),
        ("other", "", "2"),
    ]
    assert (told.references, told.file) == ((), tmp_path / "own.py")
    (tmp_path / "own.py").write_text(OWN.replace("How fast", "How slow"))
    assert explained("rule", f"{tmp_path}/own.py").settings[0].meaning == "How slow."  # not what was read before


def test_the_examples_are_explained():
    told = explained("rule", f"{ROOT}/examples/own_rule.py:Broadcast")
    assert told.what == "An eligibility trace per synapse, gated by one signal for all units."
    assert explained("task", f"{ROOT}/examples/own_task.py").settings[0].name == "delay"


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        ("rule", "rflow", 'Did you mean "rflo"?'),
        ("task", "mimc", 'Did you mean "mimic"?'),
        ("units", "gruu", 'Did you mean "gru"?'),
        ("jacobian", "lerned", 'Did you mean "learned"?'),
        ("optimizer", "adm", 'Did you mean "adam"?'),
        ("rules", "rflo", 'Did you mean "rule"?'),
        ("rule", "missing.py:Mine", "the file missing.py does not exist"),
    ],
)
def test_what_is_unknown_is_refused_with_the_nearest_name(kind, name, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        explained(kind, name)


def test_docstrings_are_taken_apart():
    assert of_parameters("What.\n\n`a`: one\nthing. `b_c`: another; `a` is not.\n\nRaises.") == {
        "a": "One thing.",
        "b_c": "Another; `a` is not.",
    }
    assert (
        plain("see :func:`optax.adam` and ``b1`` in `Paper\n <https://x.org>`_")
        == "see optax.adam and b1 in Paper https://x.org"
    )
    assert (
        without_references("One.\n\n    G = 0\n\nSource: a book.\n\n@misc{key, title={T},\n  year={1}}") == "One.\n\n    G = 0"
    )


def test_the_source_is_recredits_own():
    assert explained("rule", "dni_b").file == Path(recredit.__file__).parent / "rules" / "dni_b.py"
