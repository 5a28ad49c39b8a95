"""A run cut off at the end of any compiled call, and gone on from there, ends as it would have; hostile files do not."""

import io
import json
import pickle
import threading
import zipfile

import numpy as np
import optax
import pytest
from test_packs import BIN, STEPS, Bursting, trainer

from recredit.rules import DNI, EBPTT, FBPTT, RFLO, RTRL, UORO, RTRLBlock
from recredit.runs import checkpoint
from recredit.runs.checkpoint import Keeper, read_checkpoint, write_checkpoint
from recredit.runs.ending import StoppedError
from recredit.tasks import Mimic
from recredit.training import sizes
from recredit.training.carried import UnfitError
from recredit.training.pack import Member, train_pack

RUNS = {
    "stochastic": ((UORO(),), optax.sgd(0.1), {}),
    "adam": ((DNI(),), optax.adam(0.01), {}),
    "noise and a schedule": ((RFLO(),), optax.chain(optax.noisy_sgd(0.1, key=3), optax.add_decayed_weights(0.1)), {}),
    "two streams": ((UORO(),), optax.adam(0.01), {"streams": 2}),
    "mimic": ((RFLO(),), optax.sgd(0.1), {"task": Mimic(2, 2)}),
    "observers": ((RFLO(), FBPTT(window=5), UORO(), EBPTT(window=4)), optax.sgd(0.1), {}),
    "every pair": ((UORO(), FBPTT(window=5), EBPTT(window=4), RTRL()), optax.sgd(0.1), {"pairs": "all", "draws": 2}),
    "delayed": ((FBPTT(window=5),), optax.sgd(0.1), {}),
    "once a window": ((EBPTT(window=4),), optax.adam(0.1), {"streams": 2}),
    "a clock": ((RTRLBlock(), RTRL()), optax.sgd(0.1), {"streams": 2}),
    "diverged": ((RFLO(),), optax.sgd(0.1), {"task": Bursting()}),
}


def members(what):
    (rule, *observers), optimizer, settings = RUNS[what]
    made = trainer(rule, optimizer, observers=tuple(observers), **settings)
    return [Member(made, [0, 4], ["driver", *(f"observer {i}" for i in range(len(observers)))])]


QUICK = {"stochastic", "noise and a schedule", "two streams", "diverged"}


@pytest.mark.parametrize("what", [pytest.param(what, marks=() if what in QUICK else pytest.mark.slow) for what in RUNS])
def test_a_run_cut_off_after_any_call_ends_bit_identically(what, monkeypatch, tmp_path):
    monkeypatch.setattr(sizes, "SEGMENT", 10)
    kept = {}
    whole = train_pack(members(what), STEPS, BIN, at_end=lambda done, arrays: kept.update({done: arrays()}))[0]
    assert [*kept] == ([10, 15, 40] if what == "diverged" else [10, 15, 25, 30, 40])
    for done, arrays in kept.items():
        write_checkpoint(tmp_path / "one.ckpt", "mine", arrays)
        identity, read = read_checkpoint(tmp_path / "one.ckpt", pytest.fail)
        assert identity == "mine"
        later = []
        again = train_pack(members(what), STEPS, BIN, begin=read, at_end=lambda done, _, later=later: later.append(done))[0]
        assert later == [each for each in kept if each > done]
        assert again.identical(whole)


def test_a_pack_cut_off_ends_bit_identically():
    pack = [Member(trainer(DNI(rate=rate), optax.adam(rate)), seeds) for rate, seeds in ((0.01, [0, 1]), (0.02, [5]))]
    kept = []
    whole = train_pack(pack, STEPS, BIN, at_end=lambda _, arrays: kept.append(arrays()))
    again = train_pack(pack, STEPS, BIN, begin=kept[1])
    assert all(one.identical(other) for one, other in zip(whole, again))
    with pytest.raises(UnfitError, match=r"loss_at_start is float64 of shape \(3,\) but must be float64 of shape \(2,\)"):
        train_pack(pack[:1], STEPS, BIN, begin=kept[1])


@pytest.fixture(scope="module")
def kept():
    """A checkpoint after 15 steps of `members("adam")`."""
    found = []
    train_pack(members("adam"), STEPS, BIN, at_end=lambda _, arrays: found.append(arrays()))
    return found[0]


def test_a_checkpoint_holds_plain_arrays_by_name(kept):
    assert {"step", "learner.net.W", "learner.states[0].A", "learner.key", "learner.optimizer[0].state[0].mu['W']"} < {*kept}
    assert kept["step"] == 15
    assert kept["learner.key"].dtype == np.uint32
    assert kept["learner.key"].shape == (2, 2)
    assert kept["sums.loss"].shape == (2, 1)
    assert all(type(array) is np.ndarray and array.dtype.kind in "fiub" for array in kept.values())
    assert all(array.base is None for array in kept.values())


UNFIT = {
    "has no learner.net.W": lambda a: a.pop("learner.net.W"),
    r"has a learner.net.w, which these learners do not have. Did you mean \"learner.net.W\"": lambda a: a.update(
        {"learner.net.w": a["learner.net.W"]}
    ),
    "learner.s is float32 of shape": lambda a: a.update({"learner.s": a["learner.s"].astype("float32")}),
    r"sums.loss is float64 of shape \(2, 2\) but must be float64 of shape \(2, 1\)": lambda a: a.update(
        {"sums.loss": np.zeros((2, 2))}
    ),
    "no step at which": lambda a: a.update(step=np.array(14)),
    "no step at which .": lambda a: a.update(step=np.array(-15)),
    "no step at which training": lambda a: a.update(step=np.array(15.0)),
    "no step at which training c": lambda a: a.update(step=np.array([15])),
    "no step at which training could": lambda a: a.pop("step"),
}


@pytest.mark.parametrize("message", UNFIT)
def test_arrays_of_other_learners_are_refused_in_a_sentence(message, kept):
    arrays = dict(kept)
    UNFIT[message](arrays)
    with pytest.raises(UnfitError, match=message):
        train_pack(members("adam"), STEPS, BIN, begin=arrays)


def test_a_checkpoint_can_be_kept_while_training_goes_on(monkeypatch):
    """What is kept is a copy: the learners' own memory is written over by the next call."""
    kept, copies = [], []

    def keep(_, arrays):
        kept.append(arrays())
        copies.append({name: array.copy() for name, array in kept[-1].items()})

    train_pack(members("adam"), STEPS, BIN, at_end=keep)
    for one, other in zip(kept, copies):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_who_is_asked_to_stop_keeps_a_checkpoint_and_stops(tmp_path, monkeypatch):
    path, told = tmp_path / "kept" / "one.ckpt", []
    monkeypatch.setattr(checkpoint, "STOPPING", stop := threading.Event())

    def progress(done):
        told.append(done)
        if done == 30:
            stop.set()

    with pytest.raises(StoppedError):
        train_pack(members("adam"), STEPS, BIN, at_end=Keeper(path, "mine", STEPS, progress))
    assert told == [15, 30]
    assert read_checkpoint(path, pytest.fail)[1]["step"] == 30


@pytest.mark.parametrize(("every", "written"), [(0, 3), (1e9, 1)])
def test_a_checkpoint_is_written_every_so_often_and_at_the_end(every, written, tmp_path, monkeypatch):
    writes = []
    monkeypatch.setattr(checkpoint, "write_whole", lambda *given: writes.append(given))
    monkeypatch.setattr(checkpoint, "EVERY", every)
    monkeypatch.setattr(checkpoint, "PART", 0)
    train_pack(members("adam"), STEPS, BIN, at_end=Keeper(tmp_path / "one.ckpt", "mine", STEPS, lambda done: None))
    assert len(writes) == written


class Evil:
    def __reduce__(self):
        return pytest.fail, ("code was run",)


def npz(name="a", compressed=False, pickled=False, lying=False):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        member = io.BytesIO()
        if pickled:
            np.lib.format.write_array_header_1_0(member, {"descr": "|O", "fortran_order": False, "shape": (1,)})
            member.write(pickle.dumps([Evil()]))
        elif lying:
            np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)})
        else:
            np.save(member, np.zeros(3))
        archive.writestr(f"{name}.npy", member.getvalue())
    return buffer.getvalue()


def sealed(content, **head):
    import hashlib

    head = {"identity": "mine", "size": len(content), "sha256": hashlib.sha256(b"mine" + content).hexdigest()} | head
    return b"recredit checkpoint 0001\n" + json.dumps(head).encode() + b"\n" + content


HOSTILE = {
    "empty": b"",
    "text": b"a b c",
    "no head": b"recredit checkpoint 0001\n",
    "a head that is no JSON": b"recredit checkpoint 0001\n{\n",
    "a head that is no table": b"recredit checkpoint 0001\n[]\nabc",
    "a head as deep as the sea": b"recredit checkpoint 0001\n" + b"[" * 10**6 + b"\n",
    "another format": sealed(npz()).replace(b"0001", b"0002"),
    "other work": sealed(npz(), identity="yours"),
    "no archive": sealed(b"nothing"),
    "a pickle": sealed(pickle.dumps(Evil())),
    "a pickle in an array": sealed(npz(pickled=True)),
    "compressed": sealed(npz(compressed=True)),
    "a shape that no memory holds": sealed(npz(lying=True)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_damaged_or_foreign_file_is_told_and_the_work_starts_over(what, tmp_path):
    (tmp_path / "one.ckpt").write_bytes(HOSTILE[what])
    said = []
    assert read_checkpoint(tmp_path / "one.ckpt", said.append) is None
    assert len(said) == 1
    assert said[0].startswith(str(tmp_path / "one.ckpt"))
    assert said[0].endswith("the work starts over.")
    assert "\n" not in said[0]


def test_names_that_lead_out_of_a_folder_write_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.ckpt").write_bytes(sealed(npz("../../../out")))
    _, arrays = read_checkpoint(tmp_path / "in" / "one.ckpt", pytest.fail)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "one.ckpt"]
    with pytest.raises(UnfitError):
        train_pack(members("adam"), STEPS, BIN, begin=arrays)


def test_a_file_cut_short_or_changed_anywhere_is_not_believed(tmp_path, kept):
    path = tmp_path / "one.ckpt"
    write_checkpoint(path, "mine", kept)
    whole = path.read_bytes()
    places = np.random.default_rng(0).integers(0, len(whole), 100).tolist()
    for place in places:
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]):
            path.write_bytes(content)
            assert read_checkpoint(path, lambda _: None) is None


def test_no_file_is_no_checkpoint_and_nothing_is_said(tmp_path):
    assert read_checkpoint(tmp_path / "none.ckpt", pytest.fail) is None
