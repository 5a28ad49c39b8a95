"""What differs between Linux, macOS and Windows, as far as Linux can show it: encodings, names, locks and processes."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_tour import SOURCES

from recredit.runs import local, lock, standing
from recredit.runs.channel import Channel
from recredit.runs.failures import ended


def windows_lock(handle, _, count):
    """`msvcrt.locking`, which refuses by EACCES."""
    assert (count, os.lseek(handle, 0, os.SEEK_CUR)) == (1, lock.BEYOND)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "Permission denied") from None


def test_a_folder_is_held_by_one_command_on_windows_too(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setattr(lock, "msvcrt", SimpleNamespace(locking=windows_lock, LK_NBLCK=2))
    for _ in range(2):  # and is free again at the end
        with lock.locked(tmp_path, print) as sure:
            assert sure
            with pytest.raises(ValueError, match=rf"another recredit computes .* \(process {os.getpid()} on "):
                lock.locked(tmp_path, print).__enter__()
    assert (tmp_path / "lock").stat().st_size < 1000


def test_where_there_are_no_locks_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    said = []
    with lock.locked(tmp_path, said.append) as sure:
        assert not sure
    assert "has no locks" in said[0]


def test_cores_are_counted_where_no_process_is_bound_to_some(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert local.cores() == [*range(os.cpu_count())]


def test_no_signal_is_sent_where_it_would_end_the_process(monkeypatch):
    monkeypatch.setattr(standing, "os", SimpleNamespace(name="nt"))
    assert not standing.is_gone(standing.socket.gethostname(), 1)


def test_a_crash_on_windows_is_no_signal():
    assert ended(0xC0000005, "") == "a worker process ended by itself (exit status 3221225477)."
    assert "SIGKILL" in ended(-9, "")
    assert "SIGKILL" in ended(137, "")


def test_messages_pass_a_pipe_whole_and_in_order():
    ends = os.pipe()
    reader, writer = Channel(ends[0], "r"), Channel(ends[1], "w")
    for end in ends:
        os.close(end)
    child = os.path.join  # a function of a module, by its name
    for message in (("a", child), None, b"x" * 60_000):
        writer.send(message)
        assert reader.recv() == message
    writer.close()
    with pytest.raises(EOFError):
        reader.recv()


FOREIGN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "cp1252"}
RULE = '''# Regel für Gänse
from recredit.rules import RFLO
class Gänse(RFLO):
    """RFLO für Gänse."""
'''


def test_neither_the_systems_encoding_nor_spaces_and_letters_in_names_matter(tmp_path):
    folder = tmp_path / "mein Ordner é"
    folder.mkdir()
    (folder / "own.py").write_text(RULE, encoding="utf-8")
    environment = os.environ | FOREIGN | {"PYTHONPATH": SOURCES}
    train = "train", "--rule", "own.py", "--task", "add", "--steps", "100", "--seeds", "1", "--out", "erste Läufe"
    for command in (train, ("audit", "own.py")):
        done = subprocess.run([sys.executable, "-m", "recredit", *command], cwd=folder, env=environment, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        said = done.stdout.decode("utf-8")
        assert "Gänse" in said
    assert "✓" in said
    assert (folder / "erste Läufe" / "run.nc").stat().st_size > 1000


def test_no_process_is_forked():
    """Windows cannot, and macOS's libraries may fail in a forked process; workers are started anew."""
    forking = ("os.fork(", "multiprocessing.Pool", "ProcessPoolExecutor", 'get_context("fork")')
    files = [*Path(SOURCES, "recredit").rglob("*.py")]
    assert len(files) > 100
    assert not [file for file in files for word in forking if word in file.read_text(encoding="utf-8")]
