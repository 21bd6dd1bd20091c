"""The folder of a cross-validation: finished folds are kept there, and no other cross-validation goes on with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from moe_mat.crystals.folds import Fold
from moe_mat.crystals.splits import Split
from moe_mat.files.identity import claim_folder
from moe_mat.files.whole import write_text
from moe_mat.mixture.fold_scores import fold_metrics, out_of_fold_predictions, summary
from moe_mat.mixture.report import RunReport

SUMMARY = "crossval.json"
# The same crystals may lie elsewhere by now; the digest of the data knows them.
NOT_COMPARED = {"settings.data.path"}


class FoldFolder:
    """Keeps the folds of one cross-validation.

    Args:
        folder: Created where it is missing.
        identity: What the numbers depend on, as plain data: settings, seed, versions, experts, data and folds.

    Raises:
        ValueError: When the folder holds another cross-validation, or other files; names what differs.
    """

    def __init__(self, folder: Path, identity: Mapping[str, object]) -> None:
        self.folder = folder
        self.identity: dict[str, object] = json.loads(json.dumps(identity))
        claim_folder(folder / SUMMARY, self.identity, what="cross-validation", not_compared=NOT_COMPARED)

    def kept(self, fold: Fold) -> RunReport | None:
        """The report of a fold that is finished; ``None`` of one that is not, or whose file is damaged."""
        try:
            content = json.loads(self._path(fold).read_text(encoding="utf-8"))
            return RunReport.of_dict(content, notes=())
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, fold: Fold, report: RunReport) -> None:
        """Write the report of a finished fold."""
        write_text(self._path(fold), json.dumps(report.to_dict("test")))

    def _path(self, fold: Fold) -> Path:
        return self.folder / "folds" / f"{fold.repeat}_{fold.number}.json"

    def finish(
        self, trained: Sequence[tuple[Fold, RunReport]], ids: Sequence[str], noted: Mapping[str, object]
    ) -> dict[str, Any]:
        """Write ``crossval.json``, ``predictions.csv`` and ``splits.json``.

        Args:
            trained: All folds.
            ids: Names of the crystals.
            noted: What else ``crossval.json`` is to hold.

        Returns:
            What ``crossval.json`` holds beside the identity.
        """
        metrics = fold_metrics(trained)
        parts = {str(number): part_names(fold.split, ids) for number, (fold, _) in enumerate(trained)}
        write_text(self.folder / "predictions.csv", out_of_fold_predictions(trained).to_csv(index=False))
        write_text(self.folder / "splits.json", json.dumps(parts))
        rows = pd.DataFrame(
            [
                {"repeat": fold.repeat, "fold": fold.number, "split": number, **report.rows}
                for number, (fold, report) in enumerate(trained)
            ]
        )
        folds = rows.merge(metrics, on=["repeat", "fold"])
        found = {"folds": _records(folds), "summary": _records(summary(metrics)), **noted}
        write_text(self.folder / SUMMARY, json.dumps({**self.identity, **found}, indent=2))
        return found


def part_names(split: Split, ids: Sequence[str]) -> dict[str, list[str]]:
    """A split by the crystals' names, as a file of splits has it."""
    return {part: [ids[row] for row in rows] for part, rows in split._asdict().items()}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: numbers that are none are null."""
    return json.loads(frame.to_json(orient="records", double_precision=15))
