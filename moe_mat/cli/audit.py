"""The command ``moe-mat audit``: how much of a task or a file the experts have seen before."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from moe_mat import audit as auditing
from moe_mat import zoo
from moe_mat.cli.options import CrystalOptions
from moe_mat.files.folders import data_folder


def audit(
    data: str,
    *,
    experts: str | list[str] = "default",
    target: str | None = None,
    quantity: str | None = None,
    sources: str | None = None,
    predictions: str | None = None,
    output: str | None = None,
    reading: CrystalOptions,
) -> None:
    """Tell which crystals of a task or a file the experts were trained on, and what errors are without them.

    Args:
        data: A task of the benchmark, or crystals in any readable format.
        experts: A tag, pattern or folder of cards, or several as ``[a,b]``.
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
    cards = zoo.find_cards(experts)
    learned = [name for exposure in auditing.group(cards) for name in exposure.quantities]
    subject = read_subject(data, target, reading)
    meant = quantity or subject.quantity or subject.target
    if meant is None:
        raise ValueError(f"what is predicted of {data}? Name its column by --target, or what it measures by --quantity")
    meant = auditing.find_quantity(meant, known=learned)
    parts, errors = subject.parts, None
    if predictions is not None:
        errors = read_errors(Path(predictions), subject)
        parts = {Path(predictions).name: errors.rows}
    folder = data_folder() / "pretrain" if sources is None else Path(sources)
    matches = auditing.match(subject.structures, cards, sources=folder, show_progress=sys.stderr.isatty())
    overlaps = matches.overlaps(meant)
    report = auditing.AuditReport(subject.title, meant, subject.ids, parts, overlaps, folder, errors)
    report.show()
    console = Console()
    for left_out in subject.left_out:
        console.print(f"left out: {left_out}", highlight=False, markup=False, soft_wrap=True)
    if output is not None:
        report.write(Path(output))
        console.print(f"every crystal in [bold]{output}[/bold]")
