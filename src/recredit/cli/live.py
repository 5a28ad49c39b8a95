"""The report as a page that follows a command while it computes, served to this machine alone."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from recredit.cli.browser import show_in_browser
from recredit.runs.local import local_executor
from recredit.runs.settings import Run
from recredit.runs.standing import Standing

FRESH, SHARE = 2, 20  # a page is served again for so many seconds, or for so many times as long as it took to make
LINGER = 10  # seconds to wait at the end for a page that somebody is looking at


PREPARING = (
    b'<!doctype html><html lang="en"><meta http-equiv="refresh" content="1"><link rel="icon" href="data:,">'
    b"<title>recredit</title>The runs are being prepared."
)


class LivePage:
    """Serves the latest report of what is computed in a folder at `address`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.make: Callable[[], str] | None = None
        """Makes the latest page."""
        self.page: tuple[float, bytes] | None = None
        """The page that was made last, and until when it is served."""
        self.word = ""
        """What is being done after the runs."""
        self.ended: bytes | None = None
        self.asked = 0.0
        """When somebody last asked."""
        self.told = threading.Event()
        """Set when somebody has been given the page of the end."""
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"live": self}))
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def follow(
        self, title: str, runs: Mapping[str, Run], seeds: Sequence[int], standing: Callable[[], Standing | None]
    ) -> None:
        """From now on the page is about these runs, whose progress `standing` gives."""
        from recredit.report import page, progress  # here, since they take a second to import
        from recredit.report.so_far import SoFar

        so_far = SoFar(self.folder, title, runs, seeds)

        def make() -> str:
            now = standing()
            words = self.word or (progress.in_words(now) if now else "The workers are starting.")
            return page.report(so_far.read(), standing=page.Standing(now.whole.part if now else 0.0, words))

        with self.lock:
            self.make, self.page = make, None

    def latest(self) -> bytes:
        """The page as it is now."""
        self.asked = time.monotonic()
        with self.lock:
            if self.ended:
                return self.ended
            if not self.make:
                return PREPARING
            if not self.page or time.monotonic() > self.page[0]:
                began = time.monotonic()
                content = self.make().encode()
                now = time.monotonic()
                self.page = now + max(FRESH, SHARE * (now - began)), content
            return self.page[1]

    def end(self, results: Path) -> None:
        """Write the report on the file of the results, and give it to whoever is looking."""
        from recredit.cli.report import write_report
        from recredit.report.gathered import gather

        self.word = "All runs have ended; their rules are being audited."
        file = self.folder / "report.html"
        with local_executor("recredit.studies.audits") as pool:
            write_report(pool, gather(results), file)
        with self.lock:
            self.ended = file.read_bytes()
        if time.monotonic() - self.asked < LINGER:
            self.told.wait(LINGER)


class _Handler(BaseHTTPRequestHandler):
    live: LivePage

    def do_GET(self) -> None:
        # A page of another site that reaches this address under another name gets nothing.
        if self.headers.get("Host", "").rpartition(":")[0] not in ("127.0.0.1", "localhost"):
            self.send_error(403)
        elif self.path not in ("/", "/latest"):  # a page asks for the latest by itself, and is reloaded at the end
            self.send_error(404)
        else:
            content = self.live.latest()
            with contextlib.suppress(OSError):  # the browser is gone
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(content)
                if content is self.live.ended and self.path == "/":
                    self.live.told.set()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal shows the progress."""


@contextlib.contextmanager
def live_page(folder: Path, wanted: bool) -> Iterator[LivePage | None]:
    """The page of a folder in which a command computes, served until the command ends; None if it is not `wanted`."""
    if not wanted:
        yield None
        return
    page = LivePage(folder)
    threading.Thread(target=page.server.serve_forever, daemon=True).start()
    show_in_browser("Live report", page.address)
    try:
        yield page
    finally:
        page.server.shutdown()
        page.server.server_close()
