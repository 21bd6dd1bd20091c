"""The command ``moe-mat audit``: how much of a task or a file the experts have seen before."""

from __future__ import annotations

from pathlib import Path

from moe_mat import audit as auditing
from moe_mat import zoo
from moe_mat.cli.options import CrystalOptions
from moe_mat.cli.outputs import check_output
from moe_mat.cli.screen import Facts, screen
from moe_mat.files.folders import data_folder


def audit(
    path: str,
    *,
    experts: str | list[str] = "default",
    target: str | None = None,
    quantity: str | None = None,
    sources: str | None = None,
    predictions: str | None = None,
    output: str | None = None,
    reading: CrystalOptions,
) -> Facts:
    """Tell which crystals of a task or a file the experts were trained on, and what errors are without them.

    Args:
        path: A task of the benchmark, or crystals in any readable format.
        experts: A tag, pattern, tier or folder of cards, or several as ``[a,b]``.
        target: Column of the file that is predicted.
        quantity: What the target measures, such as ``band_gap``; by default known by the target's name or the task.
        sources: Folder of the files that experts were trained on; by default pretrain in MOE_MAT_DATA.
        predictions: predictions.csv of a run, or what predict wrote (CSV or Parquet): errors without the crystals seen.
        output: File for a verdict on every row: JSON, which repeats the tables, or CSV.
        reading: How crystals are read.

    Raises:
        ValueError: When the data, the quantity, the experts or the predictions cannot be used; says which and why.
    """
    from moe_mat.cli.audit_subject import read_errors, read_subject

    if output is not None and Path(output).suffix not in (".json", ".csv"):
        raise ValueError(f"--output {output}: a .json or .csv file is written")
    if output is not None:
        tags = [experts] if isinstance(experts, str) else experts
        check_output(output, [path, predictions, sources, *tags])
    subject = read_subject(path, target, reading)
    cards = zoo.find_cards(zoo.experts_of_formulas(experts) if zoo.are_formulas(subject.structures) else experts)
    learned = [name for exposure in auditing.group(cards) for name in exposure.quantities]
    meant = quantity or subject.quantity or subject.target
    if meant is None:
        raise ValueError(f"what is predicted of {path}? Name its column by --target, or what it measures by --quantity")
    meant = auditing.find_quantity(meant, known=learned)
    parts, errors = subject.parts, None
    if predictions is not None:
        errors = read_errors(Path(predictions), subject)
        parts = {Path(predictions).name: errors.rows}
    folder = data_folder() / "pretrain" if sources is None else Path(sources)
    matches = auditing.match(subject.structures, cards, sources=folder)
    overlaps = matches.overlaps(meant)
    report = auditing.AuditReport(subject.title, meant, subject.ids, parts, overlaps, folder, errors)
    for one in report.shown():
        screen.print(one, highlight=False)
    for left_out in subject.left_out:
        screen.text(f"left out: {left_out}")
    if output is not None:
        report.write(Path(output))
        screen.print(f"every crystal in [bold]{output}[/bold]")
    return {**report.summary(), "output": output, "left_out": [str(one) for one in subject.left_out]}
