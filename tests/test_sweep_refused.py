"""Wrong sweep files: each is refused in one sentence that names what is wrong, before anything is written or begun."""

import copy
import json
import math
import re
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recredit.runs.sweep import read_sweep

RATE = "optimizer.learning_rate"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


VARIES = (
    "cannot vary; these can: rule, task, steps, bin, streams, across_trials, and settings of rule, task, network, optimizer "
    "and observers, as in network.n."
)
# Each a file of the rules rflo and dni, and its refusal.
REFUSED = [
    ('grid."rule.rate" = [0.1]', "only dni of the rules has a setting rate; set it as rule.dni.rate."),
    (
        'grid."rule.dnii.rate" = [0.1]',
        "rule.dnii.rate does not exist: dnii is neither a rule's label nor a rule's setting; the rules: rflo, dni. Did you "
        'mean "dni"?',
    ),
    (
        "zip.network.n = [4, 8]\nzip.bin = [1, 2, 3]",
        "[zip]: values there go together, so every axis needs the same number of values; network.n has 2, bin has 3.",
    ),
    ("zip.bin = [1, 2]", "[zip] needs two or more axes, whose values go together, not bin alone."),
    ("grid.bin = [1]\nzip.bin = [1, 2]\nzip.steps = [3, 4]", "bin is given twice, in [grid] and in [zip]; give it once."),
    ("grid.network.n = [16, 16.0]", "[grid] network.n has the value 16 twice; give it once."),
    ("grid.network.alpha = [0.5, nan]", "[grid] network.alpha cannot be nan: a number must be finite."),
    ("network.n = [4, 8]", "network.n cannot be a list, [4, 8]: what varies belongs under [grid]."),
    ("grid.seeds = [4]", f'[grid] seeds {VARIES} Did you mean "steps"?'),
    ("network.n = 4\ngrid.network.n = [4, 8]", "network.n is given twice, as an axis and in a table; give it once."),
    (
        '[grid]\n"optimizer" = [{name = "adam", b1 = 0.5}]\n"optimizer.b1" = [0.1]',
        "optimizer.b1 is given twice, as an axis and in a table; give it once.",
    ),
    (
        '[[only]]\nwhen.rule = "dni"\ngrid = {"rule.jacobian" = [{name = "learned", rate = 0.1}], "rule.jacobian.rate" = [1]}',
        "for rule=dni, task=add, rule.jacobian=learned rate=0.1, rule.jacobian.rate=1: rule.jacobian.rate is given twice, as "
        "an axis and in a table; give it once.",
    ),
    ('grid.rule = ["uoro"]', "the rule is given twice, at the top of the file and in [grid] or [zip]; give it once."),
    ("grid.network.n = [4, -1]", "for rule=rflo, task=add, network.n=-1: n must be a whole number of at least 1, not -1."),
    (
        '[[only]]\nwhen.rule = "dni"\nset.bin = 3\n[[only]]\nwhen.task = "add"\nset.bin = 4',
        "bin is given twice, by [[only]] numbers 1 and 2, for rule=dni, task=add, bin=3; make their conditions exclude each "
        "other.",
    ),
    ('[[only]]\nwhen.rul = "dni"\nset.bin = 3', f'[[only]] number 1: when rul {VARIES} Did you mean "rule"?'),
    (
        'grid.rule.dni.rate = [1, 2]\n[[only]]\nwhen = {rule = "rflo", "rule.dni.rate" = 1}\nset.bin = 3',
        "[[only]] number 1: no point meets its condition, when.",
    ),
    ('executor.kind = "slrum"', 'executor "slrum" is unknown; allowed: local, slurm, pbs. Did you mean "slurm"?'),
    ('executor = {kind = "pbs", walltime = "1:00:00"}', "executor pbs needs the setting cores."),
    ('select.axis = "bin"', 'select\'s axis "bin" is unknown; allowed: rule, task.'),
    (
        'zip.network.n = [4, 8]\nzip.task.t1 = [1, 2]\nselect.axis = "network.n"',
        "select cannot choose along network.n: task.t1 varies along it, and losses on different tasks cannot be compared.",
    ),
    (
        'grid.bin = [4]\nselect.axis = "bin"',
        "select's axis bin never has more than one value, so there is nothing to choose.",
    ),
    (
        f"grid.bin = {[*range(1, 101)]}\ngrid.streams = {[*range(1, 301)]}",
        "a sweep may have at most 50,000 points, and this one has more; shorten its axes, or split it.",
    ),
    (
        'seeds = 100_000\ngrid.bin = [1, 2]\ngrid.network.n = [1, 2, 3, 4, 5, 6]\nselect.axis = "bin"',
        "a sweep may have at most 1,000,000 cells, points times seeds, and this one has 1,200,000.",
    ),
    ("x = " + "{a = " * 50 + "1" + "}" * 50, "my.toml cannot be read as TOML: its tables and lists are nested too deeply."),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_a_wrong_file_is_refused_in_a_helpful_sentence(text, sentence):
    Path("my.toml").write_text('rule = ["rflo", "dni"]\ntask = "add"\nsteps = 200\n' + text)
    with pytest.raises(ValueError) as refused:
        read_sweep(Path("my.toml"))
    assert str(refused.value) == sentence


# Right files, as tables of tables. Each function below spoils one thing in one of them, and gives the words of which the
# refusal must name one.
ADAM = {"name": "adam", "b1": 0}
FILES = [
    {
        "task": ["add", {"name": "mimic"}],
        "rule": ["rflo", "dni", "f_bptt"],
        "steps": 2e2,
        "seeds": 3,
        "network": {"n": 4, "alpha": 0.5},
        "grid": {RATE: [1e-3, 1e-2], "rule.dni.rate": [0.1, 0.2]},
        "only": [{"when": {"rule": "f_bptt"}, "grid": {"rule.window": [2, 3]}, "set": {"bin": 20}}],
        "select": {"axis": RATE, "seeds": 2, "by": "final_loss"},
        "executor": {"kind": "slurm", "walltime": "12:00:00", "cores": 16, "nodes": 2},
    },
    {
        "task": {"name": "add", "hold": 1},
        "rule": {"a": {"name": "kernl", "rate": 0.1}, "b": {"name": "kernl"}},
        "steps": 100,
        "bin": 10,
        "streams": 2,
        "seeds_at_once": 2,
        "out": "there",
        "optimizer": {"name": "adam", "b1": 0.9},
        "observers": {"exact": "rtrl"},
        "zip": {"task.t1": [1, 2], "task.t2": [2, 3]},
        "grid": {"network.activation": ["tanh", "relu"]},
        "only": [{"when": {"rule": ["b"], "task.t1": 2}, "zip": {"rule.rate": [0.1, 0.2], RATE: [0.1, 0.2]}}],
    },
    {"task": "mimic", "rule": "uoro", "steps": 50, "grid": {"network": {"n": [2, 3]}, "optimizer": ["sgd", ADAM]}},
]
COUNTS = ["steps", "seeds", "bin", "streams", "seeds_at_once", "n", "hold", "task.t1", "task.t2", "rule.window"]
NUMBERS = [*COUNTS, "alpha", "b1", "rate", "rule.rate", "rule.dni.rate", RATE]
DATES = [date(1979, 5, 27), datetime(1979, 5, 27, 7, 32)]
NO_NUMBERS = [math.nan, math.inf, -math.inf, "many", "", "1", "\n", True, [], {}, [[1]], {"a": 1}, 1e39, *DATES]
NO_TABLES = [3, 0.5, "word", True, [], [1], math.nan, *DATES]
WORDS = ["rfl", "RFLO!", "ad", "", " ", "x" * 500, "tahn", "\u202e", "no.py", "a/b.py:C", "[red]", "sgdd", "\n"]
NO_TOML = [
    b"= 3",
    b"a",
    b"[",
    b"a = [1",
    b"\xff\xfe = 3",
    b"\0",
    b"a = 1979-13-01",
    b'a = "',
    b"[grid]\n[grid]",
    b"a = 1_",
    b"\x7f",
]
NO_TOML += [b"x = " + b"[" * 3000, b"x" + b".x" * 3000 + b" = 1", b"x = " + b"9" * 5000, b"seeds = 3\nseeds = 4"]


def toml(value):
    """A value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool | str):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, date) else repr(value)


def written(table):
    """A table as a file."""
    return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in table.items()).encode()


def places(value, above=()):
    """Where there is something in a table of tables: what holds it, its key, and all keys to it."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key, (*above, key)
        yield from places(inner, (*above, key))


def one_of(draw, choices):
    """One of some choices."""
    return draw(st.sampled_from([*choices]))


def a_misspelt_key(draw, table):
    labels = ("rule",), ("observers",)
    keys = [place for place in places(table) if isinstance(place[1], str) and place[2][:-1] not in labels]
    part, key, path = one_of(draw, keys)
    more = draw(st.text("xyz_q\u00e9 ", min_size=1, max_size=3))
    wrong = one_of(draw, [f"{key}{more}", f"{more}{key}", f"{key}.{more}"]).strip() + "x"
    part[wrong] = part.pop(key)
    return [wrong.split(".")[0], *map(str, path[:-1][-1:]), f"each {path[0]} needs a name"]


def a_number_that_is_none(draw, table):
    part, key, _ = one_of(draw, [place for place in places(table) if place[1] in NUMBERS])
    bad = one_of(draw, [*NO_NUMBERS, draw(st.floats(max_value=-1e-3, allow_infinity=False))])
    if isinstance(part[key], list):
        part[key][draw(st.integers(0, len(part[key]) - 1))] = bad
    else:
        part[key] = bad
    return [key.split(".")[-1]]


def a_value_of_no_kind(draw, table):
    part, key, path = one_of(draw, places(table))
    part[key] = one_of(draw, [*DATES, math.nan, -math.inf, draw(st.floats(-1e9, -1e-3)), "nothing", "\n", [[]]])
    return [str(each) for each in path] + ["the learning rate"]


def a_spoilt_axis(draw, table):
    part, key, _ = one_of(draw, [p for p in places(table) if isinstance(p[0][p[1]], list) and {"grid", "zip"} & {*p[2][:-1]}])
    values = part[key]
    part[key] = one_of(draw, [[], values * 2, [values], values[0], values[:1] * 3, [*values, {}], {"a": values}, "x"])
    return [key.split(".")[-1]]


def no_table(draw, table):
    name = one_of(draw, ["grid", "zip", "only", "select", "executor", "network", "observers", "rule", "task"])
    table[name] = one_of(draw, [bad for bad in NO_TABLES if bad != [] or name not in ("only", "observers")])
    return [name, "rule"] if name == "observers" else [name]


def an_unknown_word(draw, table):
    part, word = one_of(draw, ["rule", "task", "activation", "optimizer"]), one_of(draw, WORDS)
    if part in ("rule", "task"):
        table[part] = one_of(draw, [word, [word], {"name": word}, {"a": {"name": word}}, [{"name": word}]])
    else:
        table.pop("optimizer", None)
        table["grid"] = {"network.activation" if part == "activation" else part: [word]}
    return [part, "file"]


def no_choice(draw, table):
    bad = one_of(draw, ["axs", "network.m", "seeds", "", [RATE], {}, 0, -1, 2.5, 1e9, math.nan, *DATES])
    table["grid"] = {RATE: [1e-3, 1e-2]}
    table["select"] = one_of(
        draw, [{"axis": RATE} | {key: bad} for key in ("axis", "seeds", "by", "ax")] + [{}, {"by": "final_loss"}]
    )
    return ["select"]


def no_condition(draw, table):
    path = one_of(draw, ["rule", "task", RATE, "network.n", "bin", "nothing", "seeds", "when", "rule.x.y"])
    label = one_of(draw, ["rtrl", "dn", 3, True, math.nan, [], ["dni", "no"], [["dni"]], {}, DATES[0]])
    when = one_of(draw, [{"when": {path: label}}, {}, {"when": one_of(draw, NO_TABLES)}])
    gives = [{"set": {"bin": 5}}, {}, {"grid": {}}, {"set": {"rule": "rflo"}}, {"zip": {"bin": [1]}}, {"st": 1}, {"grid": 3}]
    table["only"] = [*table.get("only", []), when | one_of(draw, gives)]
    return [f"number {len(table['only'])}"]


def what_is_given_twice(draw, table):
    name = one_of(draw, ["network.n", "steps", "rule", "task"])
    table["grid"] = {name: {"rule": ["rflo"], "task": ["add"]}.get(name, [4, 8])}
    table |= {"network": {"n": 4}, "only": [], "zip": {}}
    table.pop("select", None)
    return [name]


def too_much(draw, table):
    names, wide = one_of(draw, [(("network.n", "bin", "streams"), 400), (("network.n", "bin"), 50), (("steps",), 60_000)])
    table.clear()
    table |= {"rule": "rflo", "task": "add", "seeds": draw(st.integers(1000, 100_000))}
    table["grid"] = {name: [*range(1, wide)] for name in names}
    return ["at most 50,000 points", "at most 1,000,000 cells"]


SPOILERS = [a_misspelt_key, a_number_that_is_none, a_value_of_no_kind, a_spoilt_axis, no_table, an_unknown_word, no_choice]
SPOILERS += [no_condition, what_is_given_twice, too_much]


@st.composite
def wrong_files(draw):
    """The bytes of a wrong file, and the words of which its refusal must name one."""
    table, spoil = copy.deepcopy(one_of(draw, FILES)), one_of(draw, [*SPOILERS, None])
    if spoil:
        names = spoil(draw, table)
        return written(table), names
    bad, content = one_of(draw, NO_TOML), written(table)
    return one_of(draw, [content + b"\n" + bad, bad + b"\n" + content]), ["my.toml"]


def test_the_files_to_be_spoilt_are_right():
    for table, count in zip(FILES, [4 + 8 + 8, 2 * 2 * 2 + 2 * 2 - 2, 4], strict=True):
        Path("my.toml").write_bytes(written(table))
        assert len(read_sweep(Path("my.toml")).points) == count


@pytest.mark.slow
def test_500_wrong_files_are_each_refused_in_one_sentence_that_names_what_is_wrong():
    seen = set()

    @settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=[*HealthCheck], database=None)
    @given(wrong_files())
    def refuse(wrong):
        content, names = wrong
        Path("my.toml").write_bytes(content)
        with pytest.raises(ValueError) as refused:
            read_sweep(Path("my.toml"))
        sentence = str(refused.value)
        assert re.fullmatch(r"[^\n]+[.?]", sentence)
        assert any(name.strip().strip("s").replace("_", " ") in sentence.replace("_", " ") for name in names), (names, sentence)
        seen.add(sentence)

    refuse()
    assert len(seen) > 150
    assert [*Path().iterdir()] == [Path("my.toml")]
