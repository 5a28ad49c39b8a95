"""Rules, tasks, units, networks, building blocks and optimisers explained, from their source alone."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recredit.blocks.feedback import FEEDBACKS
from recredit.blocks.jacobian import JACOBIANS
from recredit.errors import check_choice
from recredit.kinds import RULE, TASK, UNITS, Kind
from recredit.optimizers import LEARNING_RATE, MEANINGS, Numbers, clips, optimizers, schedules
from recredit.optimizers import limits as optimizer_limits
from recredit.registry import BLOCKS, NETWORKS, Registry, find, settings_of
from recredit.studies import docstrings
from recredit.studies.allowed import allowed, in_words, parameter_limits, typed

OWN_KINDS: dict[str, Kind] = {"rule": RULE, "task": TASK, "units": UNITS}
"""What may also be a class of the user's own, by its file."""
OPTAX: dict[str, Callable[[], Registry]] = {"optimizer": optimizers, "clip": clips, "schedule": schedules}
REGISTRIES: dict[str, Registry] = {"network": NETWORKS, "feedback": FEEDBACKS, "jacobian": JACOBIANS}


@dataclass(frozen=True)
class Setting:
    """One setting of a rule, a task or another thing that has a name."""

    name: str
    """As in rule.NAME=VALUE."""
    meaning: str
    """On one line."""
    allowed: str
    """What it may be: "a number of at least 0", "exact, through_weights or learned"."""
    default: str
    """As one would type it: "0.001", "learned"; "none" if it is left out by default; "" if it must be given."""


@dataclass(frozen=True)
class Explained:
    """What a rule, a task or another thing that has a name is."""

    kind: str
    """One of KINDS."""
    name: str
    """Of the registry; of a class of the user's own, the class's."""
    what: str
    """One line."""
    details: str
    """The rest of the docstring of its class."""
    equations: str
    """The docstring of its module, indented as it is, without references; of optax, the text of its own docstring."""
    settings: tuple[Setting, ...]
    """In the order in which it takes them."""
    references: tuple[str, ...]
    """Of a rule BibTeX entries, of all others sources in words."""
    file: Path
    """Where it is written."""


KINDS = (*OWN_KINDS, *REGISTRIES, *OPTAX)
"""What can be explained."""


def explained(kind: str, name: str) -> Explained:
    """What has this name, or this path/to/file.py:MyRule, among the things of one of the KINDS.

    Raises ValueError for an unknown kind or name, with the nearest, and for a file that cannot be used.
    """
    check_choice("the kind", kind, KINDS)
    name, make_it = found(kind, name)
    return _of_optax(kind, name, make_it) if kind in OPTAX else _ours(kind, name, make_it)


def found(kind: str, name: str) -> tuple[str, Callable[..., Any]]:
    """What a thing is called, and what makes it. Raises ValueError for an unknown name."""
    if kind in OWN_KINDS:
        return find(OWN_KINDS[kind], name)
    registry = names(kind)
    check_choice(kind, name, registry)
    return name, registry[name]


def names(kind: str) -> Registry:
    """What there is of one of the KINDS, by name."""
    if kind in OWN_KINDS:
        return OWN_KINDS[kind].registry
    return OPTAX[kind]() if kind in OPTAX else REGISTRIES[kind]


def block_settings(make_it: Callable[..., Any]) -> dict[str, Explained]:
    """The building blocks that are allowed as a thing's settings and have settings of their own, by "jacobian=learned"."""
    blocks = {key: BLOCKS[p.annotation][0] for key, p in settings_of(make_it).items() if p.annotation in BLOCKS}
    told = {f"{key}={name}": explained(block, name) for key, block in blocks.items() for name in REGISTRIES[block]}
    return {given: block for given, block in told.items() if block.settings}


def _ours(kind: str, name: str, make_it: Callable[..., Any]) -> Explained:
    own = inspect.getdoc(make_it) or "" if not inspect.isclass(make_it) or "__doc__" in vars(make_it) else ""
    what, _, details = own.partition("\n")
    text = docstrings.of_module(make_it)
    cited = docstrings.bibtex(text) if kind == "rule" else docstrings.sources(f"{text}\n\n{own}")
    made = make_it if inspect.isclass(make_it) else inspect.signature(make_it).return_annotation
    meanings = docstrings.of_fields(made) if inspect.isclass(made) else {}
    meanings |= docstrings.of_parameters(own if not inspect.isclass(make_it) else inspect.getdoc(make_it.__init__) or "")
    within = parameter_limits(make_it)
    settings = tuple(
        Setting(key, meanings.get(key, ""), allowed(p.annotation, within.get(key, {})), typed(p.annotation, p.default))
        for key, p in settings_of(make_it).items()
    )
    file = docstrings.source_file(make_it)
    return Explained(
        kind,
        name,
        what,
        docstrings.without_parameters(details.strip()),
        docstrings.without_references(text),
        settings,
        cited,
        file,
    )


def _of_optax(kind: str, name: str, make_it: Callable[..., Any]) -> Explained:
    sections = docstrings.google_sections(inspect.getdoc(make_it) or "")
    first, *paragraphs = sections[""].split("\n\n")
    equations = _readable(paragraphs)
    meanings = MEANINGS | docstrings.google_parameters(sections.get("Args", ""))
    settings = tuple(
        Setting(key, meanings.get(key, ""), _allowed_of_optax(p), typed(p.annotation, _default_of_optax(p)))
        for key, p in settings_of(make_it).items()
    )
    cited = tuple(filter(None, _readable(sections.get("References", "").split("\n\n")).split("\n\n")))
    file = docstrings.source_file(make_it)
    return Explained(kind, name, docstrings.plain(first), "", equations, settings, cited, file)


def _default_of_optax(p: inspect.Parameter) -> Any:
    return LEARNING_RATE if p.name == "learning_rate" else p.default


def _allowed_of_optax(p: inspect.Parameter) -> str:
    if p.name in OPTAX:
        return in_words([*OPTAX[p.name]()]) + ", or left out"
    if p.annotation == Numbers:
        return "a number of at least 0 for each step from which it applies"
    return allowed(p.annotation, optimizer_limits(p))


def _readable(paragraphs: Sequence[str]) -> str:
    """Paragraphs of Sphinx's markup in words, their equations indented as they are; without warnings and the like."""
    kept, directive = [], ""
    for paragraph in paragraphs:
        directive = paragraph if paragraph.startswith(".. ") else directive if paragraph.startswith(" ") else ""
        if directive.startswith(".. math::"):
            kept.append(paragraph.removeprefix(".. math::").strip("\n"))
        elif not directive:
            kept.append(docstrings.plain(paragraph))
    return "\n\n".join(filter(None, kept))
