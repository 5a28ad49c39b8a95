"""The pages of the documentation, and the blocks of code in them, as the tests run them."""

import ast
import re
import shlex
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if not {"_build", "gallery", "reproduced"} & {*path.parts}
)
MOST = {"steps": 500, "seeds": 2, "draws": 2}
"""The scale of every block: where it names more steps, seeds or draws than these, it gets these."""
PROGRAMS = ("make", "pip", "python", "python3", "recredit")

OWN_RULE = (ROOT / "examples/own_rule.py").read_text().replace("Broadcast", "MyRule")
OWN_UNITS = """

from recredit import AbstractUnits


class MyUnits(AbstractUnits):
    tau: float = 2.0
    variables = ("r",)
    voltages = {"v": "all"}

    def f(self, s, v):
        return (s[0] + (jnp.tanh(v[0]) - s[0]) / self.tau,)
"""


@dataclass(frozen=True)
class Block:
    """A block of code in a page."""

    page: str
    line: int
    language: str
    """python, shell, toml, text, or a directive of the site, in braces."""
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """The commands of a block for the shell, in words."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(page: str) -> list[Block]:
    """All blocks of a page, fenced and indented."""
    found = MarkdownIt().parse((ROOT / page).read_text())
    return [
        Block(page, token.map[0] + 1, language(token.info.strip(), token.content), token.content)
        for token in found
        if token.type in ("fence", "code_block") and token.map
    ]


def language(info: str, text: str) -> str:
    """What a block is written in: as its fence says, or of an indented one, as it looks."""
    if info.startswith("{code-cell}"):
        return "python"
    if info:
        return {"bash": "shell"}.get(info, info)
    if text.split()[0].split("/")[-1] in PROGRAMS:
        return "shell"
    return "python" if is_python(text) else "text"


def is_python(text: str) -> bool:
    """Whether an indented block is a program, and no output or equation."""
    try:
        return any(isinstance(node, ast.Call) for node in ast.walk(ast.parse(text)))
    except SyntaxError:
        return False


def is_quotation(block: Block) -> bool:
    """Whether a block shows lines from within a file, indented as they are there."""
    return block.language == "python" and block.text.startswith(" ")


def shrunk(text: str) -> str:
    """Code or a command at the scale of the tests."""

    def less(found: re.Match) -> str:
        return f"{found[1]}{found[2]}{min(MOST[found[1]], int(float(found[3].replace('_', ''))))}"

    return re.sub(r"\b(steps|seeds|draws)(\s*=\s*|\s+)([\d_]+(?:e\d+)?)\b", less, text)


def arguments(words: list[str]) -> list[str]:
    """The arguments of a command of recredit's, at the scale of the tests."""
    words = words[: words.index(">")] if ">" in words else words  # into a file: the tests read no output
    small = shlex.split(shrunk(shlex.join(words[1:])))
    if small and small[0] in ("train", "alignment", "fig1") and "--config" not in small:
        left_out = ({"draws"} if small[0] != "alignment" else set()) | ({"seeds"} if "--from" in small else set())
        for name, most in MOST.items():
            if f"--{name}" not in small and name not in left_out:
                small += [f"--{name}", str(most)]
    return small


def prepare(folder: Path) -> None:
    """Put into a folder what the pages take for granted there: this repository's examples, and files of the reader's own."""
    for name in ("examples", "sweeps"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copytree(ROOT / "reproduce/fig1-written", folder / "results/fig1-written")
    for file in (folder / "my.py", folder / "path/to/file.py"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(OWN_RULE + OWN_UNITS)
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.normal(size=(600, 2)), y=rng.normal(size=(600, 1)))
    (folder / "text.txt").write_text("What was each synapse's past activity worth? " * 40)


def quoted(block: Block) -> list[Path]:
    """The files that a page links to and that hold a quotation."""
    text = (ROOT / block.page).read_text()
    links = re.findall(r"\]\(([^)#:]+\.py)\)", text)
    files = [(ROOT / block.page).parent / link for link in links]
    return [
        file
        for file in files
        if textwrap.dedent(block.text) in textwrap.dedent(file.read_text()) or block.text in file.read_text()
    ]
