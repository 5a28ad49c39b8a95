"""The gallery: a page for each rule, task and kind of units, from their docstrings, settings and audits."""

import inspect
from collections.abc import Mapping

from recredit.audit.verdicts import CRITERIA, Audit
from recredit.report.audit_tables import MARKS, MEANINGS
from recredit.rules import RULES
from recredit.studies.explained import REGISTRIES, Explained, block_settings, explained, names
from recredit.studies.fits import unfit_by_units
from recredit.tasks import TASKS
from writing.markdown import code, escaped, prose, table, toctree

TITLES = {"rule": "Learning rules", "task": "Tasks", "units": "Units"}
FOLDERS = {"rule": "rules", "task": "tasks", "units": "units"}
COMMANDS = {
    "rule": "recredit train --rule {} --task add --steps 100000 --seeds 4",
    "task": "recredit train --rule rflo --task {} --steps 100000 --seeds 4",
    "units": "recredit train --rule rflo --task add --set network.units={} --steps 100000 --seeds 4",
}
NOISE = " --set network.noise=0.1"
NEEDED = {"recorded": " --set task.file=data.npz", "characters": " --set task.file=text.txt"}


def gallery(audited: Mapping[str, Audit]) -> dict[str, str]:
    """Every page by its name; `audited`: the audits of all rules."""
    told = {kind: {name: explained(kind, name) for name in names(kind)} for kind in TITLES}
    fits = {name: unfit_by_units(make()) for name, make in RULES.items()}
    pages = {"index": index(told), "blocks": blocks(), "network": network()}
    for kind, members in told.items():
        folder = FOLDERS[kind]
        pages[f"{folder}/index"] = f"# {TITLES[kind]}\n\n{listed(members)}\n\n{toctree([*members])}\n"
        for name, each in members.items():
            facts = circuit(audited[name]) if kind == "rule" else levels(name) if kind == "task" else ""
            fitting = fits[name] if kind == "rule" else {rule: of[name] for rule, of in fits.items()} if kind == "units" else {}
            pages[f"{folder}/{name}"] = page(each) + facts + (partners(kind, fitting) if fitting else "") + cited(each)
    return pages


def index(told: Mapping[str, Mapping[str, Explained]]) -> str:
    """The page that the gallery begins with."""
    sections = [f"## {TITLES[kind]}\n\n{listed(members, FOLDERS[kind] + '/')}" for kind, members in told.items()]
    below = toctree([*(f"{folder}/index" for folder in FOLDERS.values()), "blocks", "network"])
    return "\n\n".join(
        [
            "# Gallery",
            "Everything that has a name, on a page of its own: equations, settings, and for rules what the audit says. "
            "The command line shows the same: `recredit rules dni`, `recredit tasks add`, `recredit networks gru`.",
            *sections,
            "## What they are put together from\n\n[Building blocks](blocks.md) of rules: feedback and the Jacobian. "
            "[Settings of a network](network.md): size, synapses, noise. "
            "How the rules relate: [the family of rules](../rules.md). "
            "The paper's own rules side by side: [Table 1](table_1.md).",
            below,
            "",
        ]
    )


def listed(members: Mapping[str, Explained], folder: str = "") -> str:
    """A table of what there is, with links."""
    return table(
        ["name", "what it is"], [[f"[`{name}`]({folder}{name}.md)", escaped(each.what)] for name, each in members.items()]
    )


def page(each: Explained) -> str:
    """What a thing is, its settings, and a command that tries it."""
    parts = [f"# {each.name}", escaped(each.what), prose(each.equations), prose(each.details)]
    parts += ["## Settings", settings(each)]
    for given, block in block_settings(names(each.kind)[each.name]).items():
        parts += [f"With {code(given)}:", settings(block)]
    command = COMMANDS[each.kind].format(each.name) + NEEDED.get(each.name, "")
    if each.kind == "rule" and RULES[each.name]().needs_noise:
        command += NOISE
    return "\n\n".join([*filter(None, parts), "## Try it", f"```bash\n{command}\n```", ""])


def settings(each: Explained) -> str:
    """A table of settings."""
    if not each.settings:
        return "None."
    rows = [
        [code(s.name), escaped(s.meaning), escaped(s.allowed), code(s.default) if s.default else "must be given"]
        for s in each.settings
    ]
    return table(["setting", "meaning", "allowed", "default"], rows)


def circuit(audit: Audit) -> str:
    """What a rule keeps and costs, and what the audit says."""
    state = ", ".join(f"{leaf.name} ({', '.join(leaf.shape)})" for leaf in audit.state) or "none"
    costs = table(
        ["learning state", "numbers kept", "multiplications per step"], [[escaped(state), audit.memory, audit.multiplications]]
    )
    rows = []
    for criterion, cell in audit.cells.items():
        operation = f" {code(cell.evidence[0].operation)}" if cell.evidence and cell.verdict != "pass" else ""
        rows.append(
            [f"{MARKS[cell.verdict]} {MEANINGS[cell.verdict]}", criterion, CRITERIA[criterion], escaped(cell.why) + operation]
        )
    verdicts = table(["verdict", "criterion", "asks", "because"], rows)
    return f"\n## What it keeps and costs\n\n{costs}\n\n## What it asks of a neural circuit\n\n{verdicts}\n"


def levels(name: str) -> str:
    """What simple guesses lose on a task."""
    if any(p.default is p.empty for p in inspect.signature(TASKS[name]).parameters.values()) or not (
        known := TASKS[name]().floors()
    ):
        return ""
    rows = [[f"{loss:.4f}", escaped(what)] for what, loss in known.items()]
    return f"\n## Known loss levels\n\n{table(['loss', 'of whom'], rows)}\n"


def partners(kind: str, unfit: Mapping[str, str | None]) -> str:
    """Which units a rule is for, or which rules units are for, and why not the others."""
    other = "units" if kind == "rule" else "rule"
    rows = [
        [f"[`{name}`](../{FOLDERS[other]}/{name}.md)", "yes" if why is None else escaped(f"no: {why}")]
        for name, why in unfit.items()
    ]
    title = "Units that it is for" if kind == "rule" else "Rules that are for it"
    return f"\n## {title}\n\n{table([other, 'fits'], rows)}\n"


def cited(each: Explained) -> str:
    """Where it comes from."""
    if not each.references:
        return ""
    told = [f"```bibtex\n{each}\n```" if each.startswith("@") else escaped(each) for each in each.references]
    return "\n## Source\n\n" + "\n\n".join(told) + "\n"


def blocks() -> str:
    """The page of building blocks."""
    parts = ["# Building blocks", "A rule's `feedback` and `jacobian` are settings: each names one of these blocks."]
    for kind, title in {"feedback": "Feedback", "jacobian": "Jacobian"}.items():
        parts.append(f"## {title}")
        for name in REGISTRIES[kind]:
            each = explained(kind, name)
            parts += [f"### {name}", escaped(each.what), prose(each.details), settings(each) if each.settings else ""]
    return "\n\n".join(filter(None, parts)) + "\n"


def network() -> str:
    """The page of a network's settings."""
    told = explained("network", "network")
    return f"# Settings of a network\n\n{escaped(told.what)} More: [networks](../networks.md).\n\n{settings(told)}\n"
