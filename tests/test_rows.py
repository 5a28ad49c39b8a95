"""Characters and digits: rows from plain loops, any cut, passes, parts, parallel streams, floors by counting."""

import collections
import itertools
import re
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import small_net
from sklearn.datasets import load_digits

from recredit.cli.catalogue import _known
from recredit.tasks import TASKS, Characters, Digits
from recredit.tasks.digits import images_of

KEY = jax.random.key(3)
TEXT = "to be, or not to be: that is the question\nwhether 'tis nobler — in the mind" * 2
VOCABULARY = sorted(set(TEXT))


@eqx.filter_jit
def chunk(task, state, start, length):
    return task.chunk(state, start, length)


def played(task, cuts, key=KEY, number=None, count=3):
    """The rows of a stream asked for in chunks of the given lengths."""
    state, first, samples = task.init(small_net(), key), 0, []
    if number is not None:
        state = task.stream(state, jnp.array(number), count)
    for length in cuts:
        state, sample = chunk(task, state, jnp.array(first), length)
        first += length
        samples.append(sample)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *samples)


def read(rows):
    """The text that one-hot rows spell."""
    assert {*rows.ravel()} == {0, 1}
    assert (rows.sum(1) == 1).all()
    return "".join(VOCABULARY[row.argmax()] for row in rows)


@pytest.mark.parametrize("passes", [1, 3])
def test_characters_are_the_text_and_the_same_one_character_later(passes):
    task, n = Characters(TEXT, passes=passes), len(TEXT) - 1
    assert (task.vocabulary, task.n_in, task.length()) == ("".join(VOCABULARY), len(VOCABULARY), passes * n)
    for cuts in ([passes * n], [1, 40, 2, passes * n - 43]):
        x, label, *rest = played(task, cuts)
        assert read(x) == TEXT[:-1] * passes
        assert read(label) == TEXT[1:] * passes
        assert rest == [None, None, None]
    share = n // 3
    for number in range(3):
        begin = number * share
        x, label, *_ = played(task, [passes * share], number=number)
        assert read(x) == TEXT[begin : begin + share] * passes
        assert read(label) == TEXT[begin + 1 : begin + share + 1] * passes


def test_a_text_is_split_at_one_point_with_one_vocabulary():
    n = len(TEXT) - 1
    train, test = (Characters(TEXT, part=part, test=0.25) for part in ("train", "test"))
    cut = n - round(0.25 * n)
    assert (train.length(), test.length()) == (cut, n - cut)
    assert read(played(train, [cut])[0]) + read(played(test, [n - cut])[0]) == TEXT[:-1]
    assert train.vocabulary == test.vocabulary
    with pytest.raises(
        ValueError, match=r"the part test of the text has 37 steps, fewer than the 39 asked for: .* or raise passes"
    ):
        test.check(39)


def test_the_floors_of_a_text_are_the_entropies_of_its_own_counts():
    pairs = collections.Counter(itertools.pairwise(TEXT))
    follows, before = collections.Counter(TEXT[1:]), collections.Counter(TEXT[:-1])
    n = len(TEXT) - 1
    order_0 = sum(-count / n * np.log(count / n) for count in follows.values())
    order_1 = sum(-count / n * np.log(count / before[this]) for (this, _), count in pairs.items())
    assert [*Characters(TEXT).floors().values()] == pytest.approx([np.log(len(VOCABULARY)), order_0, order_1])


def test_a_text_is_read_from_a_file_and_known_by_its_digest(tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes("\ufeffWörter —\r\nab".encode())
    task = TASKS["characters"](str(file), 2)
    assert (task.vocabulary, task.passes) == ("".join(sorted(set("Wörter —\nab"))), 2)
    assert task.digest() == Characters("Wörter —\nab").digest() != Characters("Wörter —\nba").digest()
    TASKS["characters"](str(file), digest=task.digest())
    for content, message in {
        b"aaab": f"text.txt has changed: its digest is {Characters('aaab').digest()}, not {task.digest()!r}.",
        b"aaaa": "a text needs at least two different characters, not 1.",
        b"": "a text needs at least two different characters, not 0.",
        b"ab\xff": "text.txt is not a text in UTF-8: invalid start byte at byte 2.",
    }.items():
        file.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(message)):
            TASKS["characters"](str(file), digest=task.digest())
    with pytest.raises(ValueError, match=r"none\.txt cannot be read: No such file or directory"):
        TASKS["characters"](str(tmp_path / "none.txt"))
    with pytest.raises(ValueError, match=r"a share of 0\.1 of 1 steps for testing leaves 0"):
        Characters("ab", part="train", test=0.1)


@pytest.fixture(scope="module")
def images():
    return {
        (image / 16).tobytes(): int(digit) for image, digit in zip(*[load_digits()[which] for which in ("images", "target")])
    }


@pytest.mark.parametrize(("part", "count"), [("train", 1400), ("test", 397), ("all", 1797)])
def test_a_pass_shows_each_image_of_its_part_once_row_by_row(images, part, count):
    task = Digits(part, passes=2)
    assert task.length() == 2 * 8 * count
    x, label, weight, start, _ = played(task, [8 * count - 3, 1, 8 * count + 2])
    np.testing.assert_array_equal(start, np.arange(16 * count) % 8 == 0)
    np.testing.assert_array_equal(weight, np.arange(16 * count) % 8 == 7)
    np.testing.assert_array_equal(label[weight == 0], 0.1)
    shown = [image.tobytes() for image in x.reshape(-1, 8, 8)]
    assert [images[image] for image in shown] == label[7::8].argmax(1).tolist()
    np.testing.assert_array_equal(label[7::8], np.eye(10)[label[7::8].argmax(1)])
    first, second = shown[:count], shown[count:]
    assert sorted(first) == sorted(second)
    assert len({*first}) == count
    assert first != second
    assert [image.tobytes() for image in images_of(part)[0]] == played_in_order(part)


def played_in_order(part):
    task = Digits(part, passes=1, shuffle=False)
    return [image.tobytes() for image in played(task, [task.rows])[0].reshape(-1, 8, 8)]


def test_images_for_testing_are_the_same_ones_everywhere_and_none_for_training(images):
    train, test = (played_in_order(part) for part in ("train", "test"))
    assert {*train} | {*test} == {*images}
    assert not {*train} & {*test}
    places = [i for i, image in enumerate(images) if image in {*test}]
    assert places[:6] == [1, 11, 23, 26, 31, 32]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["train", "test"])
def test_the_floors_of_digits_are_known_levels(part):
    floors = Digits(part).floors()
    assert floors["nothing learned"] == pytest.approx(np.log(10))
    known = {"last row": 1.47, "last 2 rows": 1.05, "last 4 rows": 0.45, "all rows": 0.13}  # of another draw of test images
    assert {what: floors[what] for what in known} == pytest.approx(known, abs=0.1)


def test_digits_need_scikit_learn(monkeypatch):
    images_of.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=re.escape('the task digits needs scikit-learn: pip install "recredit[digits]".')):
        Digits()
    assert _known(Digits) == _known(TASKS["recorded"]) == []  # `recredit tasks digits` explains it all the same


def test_bad_settings_of_digits_are_refused():
    with pytest.raises(ValueError, match="Digits' passes must be a whole number of at least 1, not 0"):
        Digits(passes=0)
    with pytest.raises(ValueError, match="the part test of the set of digits has 3,176 steps, fewer than the 6,353 asked for"):
        Digits("test", passes=2).check(6353)
    with pytest.raises(ValueError, match="has a trial of 8 steps, longer than the stream of 7"):
        Digits().check(7)
