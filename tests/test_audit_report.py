"""Reports of audits: the paper's verdicts as data, every format, and the files and words that the command line refuses."""

import json
import re
import shutil
import subprocess
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from recredit.audit import paper
from recredit.audit.paper import compare, read
from recredit.audit.verdicts import CRITERIA, Audit, Cell, Evidence, Operation, StateLeaf
from recredit.report.audit_tables import as_json, as_latex, as_markdown, explain, table
from recredit.report.templates import audit_page
from recredit.rules import RULES

AWKWARD = r"<b>&_[red]r̂ = [r⁻; x; 1]{$%#^~|*"


def found(rule="uoro", **verdicts):
    """An audit made by hand, in which every criterion passes but those named."""
    evidence = (Evidence("J·A : (n×n)·(n)", "/home/of/jacobian.py", 55, f"J is computed on the spot {AWKWARD}."),)
    said = {name.replace("_", "-"): verdict for name, verdict in verdicts.items()}
    cells = {c: Cell(c, said.get(c, "pass"), f"Because of {c} {AWKWARD}.", evidence if c in said else ()) for c in CRITERIA}
    operations = (
        Operation("matrix–vector product", "J·A : (n×n)·(n)", "/home/of/jacobian.py", 55, fails=("ii-stored", "iii")),
        Operation("noise draw", f"ν : (n) {AWKWARD}", "/home/of/uoro.py", 57, weighs=("v",)),
    )
    state = (StateLeaf("A", ("n",), 1), StateLeaf("B", ("n", "m"), 2))
    slopes = {"B": {"alpha": [0.5, 0.25], "max": [0.2, 0.1], "mean": [0.1, 0.05]}}
    costs = ("n² + n·n_in + 2·n", "2·n² + n")
    return Audit(
        rule, "/home/of/uoro.py", cells, operations, state, ("net.W", "step.v"), *costs, (f"Common {AWKWARD}.",), slopes
    )


AUDITS = [
    found("uoro", ii_stored="fail", ii_continuous="fail", iii="fail", v="judgement"),
    found("kernl", vi="fail", vii="fail"),
    found("rflo", v="n/a"),
    found(f"Own (x={AWKWARD})", memory="judgement"),
]


def printed(shown, width=80):
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def test_every_row_of_the_paper_is_about_a_known_rule_and_criterion():
    rows = read()
    assert len({(row.rule, row.criterion) for row in rows}) == len(rows)
    for row in rows:
        assert row.rule in RULES
        assert row.criterion in CRITERIA
        assert row.verdict in ("pass", "fail")
        assert row.stated in ("explicit", "implied")
        assert row.place
        assert 20 < len(row.quotation) < 300
        assert not row.note or row.note.endswith(".")


def test_agreements_and_differences_are_told_apart_and_differences_give_their_reason():
    compared = {each.said.criterion: each for each in compare(found("kernl", vi="fail", ii_local="n/a"))}
    assert set(compared) == {row.criterion for row in read() if row.rule == "kernl"} - {"ii-local"}
    assert {criterion for criterion, each in compared.items() if not each.agrees} == {"ii-stored"}
    assert compared["ii-stored"].reason.startswith("Because of ii-stored")
    assert compared["ii-stored"].reason.endswith("does not apply to it.")
    assert compared["vi"].reason == ""


def test_the_paper_says_nothing_of_other_building_blocks_or_other_rules():
    assert compare(found("uoro (jacobian=learned)")) == compare(found("Own")) == ()


def test_no_verdict_depends_on_what_the_paper_says():
    others = [path for path in Path(paper.__file__).parent.rglob("*.py") if path.name != "paper.py"]
    assert len(others) > 3
    for path in others:
        assert not re.search(r"paper\.csv|audit\.paper|import paper", path.read_text())


def test_the_table_is_whole_in_80_columns_and_names_each_difference():
    text = printed(table([found(rule) for rule in RULES], 80))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    for rule in RULES:
        row = next(line for line in lines if line.split()[:1] == [rule])
        assert row.count("✓") == len(CRITERIA)
        assert row.count("*") == sum(each.said.verdict == "fail" for each in compare(found(rule)))
    assert "* kernl, vi: the paper says fail, the audit says pass." in " ".join(text.split())


def test_one_rule_comes_with_its_evidence_and_what_the_paper_says():
    text = printed(table(AUDITS[:1], 10_000), 10_000)
    for said in (*CRITERIA.values(), "J·A : (n×n)·(n)", "jacobian.py:55", f"J is computed on the spot {AWKWARD}."):
        assert said in text
    assert "The paper says fail: “While UORO" in text
    assert "* The paper implies pass: “Independent additive noise" in text
    assert "Learning state: A (n), B (n, m)\n" in text
    assert "Numbers kept: n² + n·n_in + 2·n\n" in text


@pytest.mark.parametrize("width", [1, 20, 40])
def test_a_narrow_terminal_keeps_every_name_and_mark(width):
    text = printed(table(AUDITS[:2], width), 1000)
    uoro, kernl = (dict(part.split(": ") for part in line.split("; ")) for line in text.splitlines()[1:3])
    assert ({"rule", *CRITERIA}, uoro["rule"], kernl["rule"]) == (set(uoro), "uoro", "kernl")
    assert [uoro[c] for c in ("i", "ii-stored", "ii-continuous", "iii", "v")] == ["✓", "✗", "✗", "✗", "?*"]
    assert [kernl[c] for c in ("ii-stored", "vi", "vii")] == ["✓*", "✗", "✗"]
    assert printed(table(AUDITS[:1], width), 1000).count("✗") == 7
    assert re.search(r"✗ ii-stored.*J·A : \(n×n\)·\(n\).*jacobian.py:55", printed(explain(AUDITS[0], width), 1000))


def test_a_program_is_explained_operation_by_operation():
    text = printed(explain(AUDITS[0], 10_000), 10_000)
    assert text.index("J·A : (n×n)·(n)") < text.index(f"ν : (n) {AWKWARD}")
    assert re.search(r"✗ ii-stored +J·A .*matrix–vector product +jacobian.py:55", text)
    assert re.search(r"\? v +ν .*noise draw +uoro.py:57", text)


def test_json_holds_everything():
    told = json.loads(as_json(AUDITS))
    assert told["criteria"] == CRITERIA
    plain = json.loads(re.sub(r"/home/of/", "", json.dumps([asdict(audit) for audit in AUDITS])))  # files go by their names
    assert [{key: value for key, value in audit.items() if key != "paper"} for audit in told["audits"]] == plain
    assert [each["said"]["criterion"] for each in told["audits"][1]["paper"]] == [
        each.said.criterion for each in compare(AUDITS[1])
    ]


class Page(HTMLParser):
    """The text of a page, its links, but for the icon that is in the page, and anchors; every tag that opens must close."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.links, self.anchors, self.tags = [], "", set(), set(), set()
        self.scripts = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.scripts += [dict(attrs).get("src")] * (tag == "script")
        self.open += [] if tag in ("meta", "link") else [tag]
        self.links |= {value for name, value in attrs if name in ("href", "src") and value != "data:,"}
        self.anchors |= {f"#{value}" for name, value in attrs if name == "id"}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_escaped_and_needs_no_other_file():
    page = Page(audit_page(AUDITS))
    assert page.open == []
    assert page.links <= page.anchors
    assert not page.tags & {"b", "img"}
    assert page.scripts == [None, None]  # both in the page, and none of a rule's
    for said in (*CRITERIA, *CRITERIA.values(), *(audit.rule for audit in AUDITS), "jacobian.py:55", "noise draw"):
        assert said in page.text
    assert f"J is computed on the spot {AWKWARD}." in page.text
    assert "The paper says fail: “every algorithm (except RFLO)" in page.text


def test_markdown_has_every_verdict_and_every_difference():
    lines = as_markdown(AUDITS).splitlines()
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("|")]
    assert rows[0] == ["rule", *CRITERIA]
    assert [len(row) for row in rows] == [len(CRITERIA) + 1] * (len(AUDITS) + 2)
    assert [row[-1] for row in rows[2:]] == ["✓", "✗", "✓", "✓"]
    assert rows[3][4] == "✓\\*"
    assert any(line.startswith(r"- \* kernl, ii-stored: the paper says fail") for line in lines)


def test_latex_escapes_what_it_must():
    text = as_latex([found(rule=AWKWARD.replace("r̂ = [r⁻; x; 1]", ""))])
    row = r"\texttt{$<$b$>$\&\_[red]\{\$\%\#\textasciicircum{}\textasciitilde{}$|$*}"
    assert row in text
    assert text.isascii()
    for criterion in CRITERIA:
        assert rf"\emph{{{criterion}}}" in text


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_latex_compiles_in_a_plain_article_and_fits_its_lines(tmp_path):
    audits = [*(found(rule) for rule in RULES), found("<b>&_[red]{$%#^~|*"), *AUDITS[:3]]
    document = "\n".join([r"\documentclass{article}", r"\begin{document}", as_latex(audits), r"\end{document}"])
    (tmp_path / "page.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert ended.returncode == 0, ended.stdout
    assert "Overfull" not in ended.stdout
