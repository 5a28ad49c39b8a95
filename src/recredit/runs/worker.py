"""One worker process: has functions called, one after the other. Started by `recredit.runs.local`.

In: (function, arguments) per call. Out: (answer, error) each; the first one's answer is the name of JAX's backend.

When its input ends, or at SIGTERM, the worker ends: it outlives the process that started it by no more than a checkpoint takes.
"""

import gc
import importlib
import os
import queue
import signal
import sys
import threading
from typing import Any

from recredit.runs.channel import Channel, opened
from recredit.runs.ending import StoppedError, end_soon
from recredit.runs.failures import explanation
from recredit.runs.local import SELDOM


def main() -> None:
    """Serve until the input ends."""
    gc.set_threshold(SELDOM)
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    busy = threading.Lock()
    requests, answers = Channel(0, "r"), Channel(1, "w")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # a rule of the user's own that asks or prints must not meet the messages
    os.dup2(2, 1)
    threading.Thread(target=_receive, args=(requests, calls, busy), daemon=True).start()
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # in all threads to come: a handler would wait for XLA
        threading.Thread(target=_end_on_sigterm, args=(busy,), daemon=True).start()

    def say(answer: Any, error: BaseException | None = None) -> None:
        answers.send((answer, error))

    try:
        from recredit.runs import processor  # here, so that a JAX that cannot be imported is said as well

        importlib.import_module(sys.argv[1])  # which may choose what JAX computes on
        say(processor.settle())
        processor.warm_up()
    except BaseException as error:
        say(None, ValueError(explanation(error)))
        return
    while True:
        call = calls.get()
        with busy:
            try:
                # Not before it is due, since that imports the function's module.
                function, arguments = opened(call)
                say(function(*arguments))
            except StoppedError:
                pass  # this process is about to end, which says it
            except BaseException as error:
                say(None, ValueError(explanation(error)))


def _receive(requests: Channel, calls: "queue.SimpleQueue[bytes]", busy: threading.Lock) -> None:
    try:
        while True:
            calls.put(requests.recv_bytes())
    finally:  # its end
        end_soon(0, busy)


def _end_on_sigterm(busy: threading.Lock) -> None:
    signal.sigwait({signal.SIGTERM})
    end_soon(128 + signal.SIGTERM, busy)


if __name__ == "__main__":
    main()
