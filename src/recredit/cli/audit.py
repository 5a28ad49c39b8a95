"""What `recredit audit` does: make the rules, audit them, print what was found."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from recredit.audit.verdicts import Audit
from recredit.cli.console import plain_console, wide_console
from recredit.network import Network
from recredit.registry import Registry, make, resolve_network
from recredit.report.audit_tables import as_json, as_latex, as_markdown, explain, repair_text, table
from recredit.rules import RULES
from recredit.runs.files import check_writable
from recredit.runs.request import assign, given_once, parse
from recredit.studies.audits import Asked, audits, chosen
from recredit.studies.repair import repair
from recredit.studies.variants import Format
from recredit.testing import check_criteria, not_passed


def _as_html(audits: Sequence[Audit]) -> str:
    from recredit.report.templates import audit_page  # here, since the other formats need no templates

    return audit_page(audits)


FORMATS: dict[str, Callable[[Sequence[Audit]], str]] = {
    "json": as_json,
    "html": _as_html,
    "markdown": as_markdown,
    "latex": as_latex,
}


def run_audit(
    pool: Executor | None,
    rules: Sequence[str],
    settings: Sequence[str],
    network: Sequence[str],
    form: Format,
    explained: str | None,
    mend: bool,
    as_test: tuple[str, ...],
    slopes: Path | None,
) -> None:
    """Audit the rules with these settings, or every rule of the registry if none is named, and print the verdicts.

    `network`: settings of the network that they train, a word alone for its units. `pool`: where to audit them; None: in this
    process. `mend`: print what would repair them instead. `as_test`: print which of these criteria do not pass instead, and
    end the process with exit code 1 if any do not. `slopes`: also draw the continuity measurement to this file.
    """
    if explained is not None and (rules or form != "table"):
        raise ValueError(
            f"--explain {explained} goes only with --with and --network; json and html hold the operations as well."
        )
    if mend and (explained is not None or form != "table" or slopes):
        raise ValueError("--repair goes only with rules, --with and --network.")
    if as_test and (explained is not None or mend or form != "table" or slopes):
        raise ValueError("--as-test goes only with rules, --with and --network.")
    asked = check_criteria(() if as_test == ("all",) else as_test)
    if slopes:
        if slopes.suffix not in (".png", ".svg", ".pdf"):
            raise ValueError(f"--slopes draws to a file that ends in .png, .svg or .pdf, not {slopes}.")
        check_writable(slopes)
    given = _table(settings, "jacobian=learned")
    trained = _table([each if "=" in each else f"units={each}" for each in network], "units=gru")
    resolve_network(trained)  # so that an error in it is reported at once
    specs = [explained] if explained is not None else [*dict.fromkeys(rules)] or [*RULES]
    if mend:
        _mend([chosen(spec, given) for spec in specs], resolve_network(trained))
        return
    written = f" ({', '.join(settings)})" if settings else ""
    with plain_console(stderr=True).status("") as status:
        measure = "ii-continuous" in asked
        rules_asked = [Asked(spec, given, trained, chosen(spec, given)[0] + written) for spec in specs]
        found, refused = audits(rules_asked, measure, pool, lambda name: status.update(f"Auditing {name}"))
    if not found:
        raise ValueError(refused[0])
    for sentence in refused:
        plain_console(stderr=True).print(f"Left out: {sentence}", style="dim", markup=False, soft_wrap=True)
    console = wide_console()
    if as_test:
        _test(found, asked)
    elif form != "table":
        console.out(FORMATS[form](found), highlight=False)
    else:
        console.print(table(found, console.width) if explained is None else explain(found[0], console.width))
    if slopes:
        from recredit.report.figures import draw_slopes  # here, so that an error need not wait for matplotlib

        draw_slopes(found, slopes)


def _test(audits: Sequence[Audit], asked: tuple[str, ...]) -> None:
    """Print what does not pass, and end with exit code 1 if anything does not."""
    console, broken = plain_console(), {found.rule: not_passed(found, asked) for found in audits}
    for rule, lines in broken.items():
        console.out(
            "\n    ".join([f"{rule} {'does not pass' if lines else 'passes'} {', '.join(lines or asked)}", *lines.values()])
        )
    if any(broken.values()):
        raise SystemExit(1)


def _table(settings: Sequence[str], like: str) -> dict[str, Any]:
    """A table of settings PATH=VALUE."""
    table: dict[str, Any] = {}
    for keys, value in given_once(parse(setting, like) for setting in settings).items():
        assign(table, keys, value)
    return table


def _mend(made: Sequence[tuple[str, Registry, dict[str, Any]]], network: Network) -> None:
    """Print what would repair each rule."""
    console = wide_console()
    with plain_console(stderr=True).status("") as status:
        for name, registry, settings in made:
            make(registry, settings)

            def told(what: str, name: str = name) -> None:
                status.update(f"Repairing {name}: {what}")

            console.out(repair_text(repair(name, registry, settings, told, network), console.width), highlight=False)
