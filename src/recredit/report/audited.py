"""The audits that belong in a report: of each rule that its results are about."""

from dataclasses import replace

from recredit.kinds import RULE
from recredit.own_files import load
from recredit.registry import resolve_task, settings_of
from recredit.report.gathered import Gathered, Settings
from recredit.runs.settings import Run
from recredit.studies.audits import Asked, chosen
from recredit.studies.reductions import REDUCTIONS

Sizes = tuple[int, int, int]


def asked_of(gathered: Gathered) -> tuple[list[Asked], list[str]]:
    """The rules of a report, each once for each network of other units or synapses, by the names of their lines; and of those
    whose source is gone or has changed since, a sentence that says so."""
    found: dict[str, tuple[Asked, set[str]]] = {}
    refused: list[str] = []
    for name, rule, run in _rules(gathered):
        network = {key: value for key, value in _as_given(run)["network"].items() if key not in ("name", "n", "digest")}
        try:
            spec, given = _plain(_spec(rule["name"], run), {key: value for key, value in rule.items() if key != "name"})
            chosen(spec, given)
        except ValueError as error:
            refused.append(f"{name}: {error}")
            continue
        found.setdefault(f"{spec} {given} {network}", (Asked(spec, given, network, name), set()))[1].add(name)
    labels = [asked.label if len(names) == 1 else asked.spec.rpartition(":")[2] for asked, names in found.values()]
    numbered = [f"{label} ({k})" if labels.count(label) > 1 else label for k, label in enumerate(labels, 1)]
    named = [replace(asked, label=label) for (asked, _), label in zip(found.values(), numbered, strict=True)]
    return named, list(dict.fromkeys(refused))


def _rules(gathered: Gathered) -> list[tuple[str, Settings, Settings]]:
    """The name of each line, or observer, its rule and its run."""
    curves = [curve for panel in gathered.panels if panel.is_loss for curve in panel.curves]
    drivers = [(curve.name, curve.run["rule"], curve.run) for curve in curves]
    observers = [(name, rule, curve.run) for curve in curves for name, rule in curve.run.get("observers", {}).items()]
    return drivers + observers


def _spec(name: str, run: Settings) -> str:
    """How a rule of a run is named, one of the user's own by its file, which must be what it was."""
    if name in RULE.registry:
        return name
    if name not in run.get("files", {}):  # cells do not say where a file lies: what it holds is their identity
        raise ValueError(f"the results do not say yet in which file {name} is; the command does when it ends.")
    file, digest = run["files"][name], run["sources"][name]
    load(f"{file}:{name}", RULE, digest)
    return f"{file}:{name}"


def _plain(spec: str, given: Settings) -> tuple[str, Settings]:
    """In place of a rule that is always another one, computed faster, the plain one, whose program is meant to be read."""
    for each in REDUCTIONS:
        if each.general == {"name": spec} and each.words == "always":
            plain = each.special["name"]
            return plain, {key: value for key, value in given.items() if key in settings_of(RULE.registry[plain])}
    return spec, given


def sizes_of(run: Settings) -> Sizes | None:
    """(n, n_in, n_out) of a run; None if its task cannot be made here."""
    try:
        task = resolve_task(_as_given(run)["task"])
        return run["network"]["n"], task.n_in, task.n_out
    except (ValueError, TypeError, ImportError, OSError):
        return None


def _as_given(run: Settings) -> Settings:
    """A run's settings with classes of the user's own by their files; as they are if an earlier recredit wrote them."""
    try:
        return Run(**run).given()
    except (ValueError, TypeError):
        return run
