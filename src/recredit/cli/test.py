"""What `recredit test` does."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from recredit.cli.compute import console
from recredit.report.fitting import show
from recredit.report.tables import tested_table
from recredit.runs.files import read_dataset, write_dataset
from recredit.runs.final_loss import averaged, final_accuracy, final_loss, loss_levels, loss_unit, shown
from recredit.runs.tested import tested, tests_of
from recredit.runs.trained import file_of, load


def run_test(run: Path, task: str | None, settings: Sequence[str], steps: int | None) -> None:
    """Test a run's networks, write the results beside the run, and show them beside the end of training."""
    trained = load(run)
    tests = tests_of(trained, task, settings, steps)
    any_test = next(iter(tests.values()))
    played = any_test.build_task()
    data, curves = tested(trained, tests), read_dataset(file_of(run))
    name = hashlib.sha256("".join(test.text() for test in tests.values()).encode()).hexdigest()[:8]
    file = file_of(run).parent / f"test-{any_test.task['name']}-{name}.nc"
    write_dataset(file, data)
    before = final_loss(curves).to_dataset(name="loss")
    if "accuracy" in curves:
        before["accuracy"] = final_accuracy(curves)
    show(
        console,
        tested_table(
            data.assign(loss=shown(data.loss, played)), before.assign(loss=shown(before.loss, played)), any_test.steps
        ),
    )
    console.print(f"Loss: {loss_unit(played)}; at the end of training: the mean of {averaged(curves.step)}.")
    for what, level in loss_levels(played).items():
        console.print(f"  {level:.4g}  {what}", style="dim")
    console.out(f"Wrote {file}.")
