"""Calls shared out over worker processes: the same results, a death that is told, and none that outlives its parent."""

import os
import select
import signal
import subprocess
import sys
import textwrap

import pytest

from recredit.runs.local import local_executor
from recredit.studies.audits import Asked, audits

STARTER = textwrap.dedent("""
    import os, time
    from recredit.runs.local import local_executor
    if __name__ == "__main__":
        with local_executor("json") as pool:
            print(pool.submit(os.getpid).result(), flush=True)
            time.sleep(600)
""")
DEADLY = textwrap.dedent("""
    import os
    import jax.numpy as jnp
    from recredit import AbstractRule

    class Deadly(AbstractRule):
        def init(self, net, key):
            return jnp.zeros(net.n)

        def update(self, net, step, state, key):
            if os.getpid() != int(os.environ["STARTED_BY"]):
                os._exit(3)
            return jnp.zeros(net.W.shape), state
""")


@pytest.fixture(scope="module")
def pool():
    with local_executor("recredit.studies.audits") as pool:
        yield pool


def test_rules_audited_in_processes_get_the_audits_that_they_get_in_one(pool):
    asked = [Asked(name, {"feedback": "random"}, {}, f"my {name}") for name in ("rflo", "kernl", "uoro")]
    told: list[str] = []
    assert audits(asked, False, pool, told.append) == audits(asked, False, None, lambda name: None)
    assert told == ["my rflo", "my kernl", "my uoro"]


def test_a_rule_that_ends_its_process_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("STARTED_BY", str(os.getpid()))
    file = tmp_path / "deadly.py"
    file.write_text(DEADLY)
    with (
        local_executor("recredit.studies.audits") as pool,
        pytest.raises(ValueError, match=r"Deadly was not audited: a worker process ended by itself \(exit status 3\)"),
    ):
        audits([Asked(str(file), {}, {}, "Deadly")], False, pool, lambda name: None)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds")
def test_they_end_with_their_parent(tmp_path):
    (tmp_path / "starter.py").write_text(STARTER)
    parent = subprocess.Popen([sys.executable, tmp_path / "starter.py"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = os.pidfd_open(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert select.select([child], [], [], 60)[0]  # a pidfd is readable once its process has ended
    os.close(child)
