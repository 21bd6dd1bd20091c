"""The folder of a cross-validation: finished folds are kept there, and no other cross-validation goes on with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from moe_mat.crystals.folds import Fold
from moe_mat.crystals.splits import Split
from moe_mat.files.whole import write_text
from moe_mat.mixture.fold_scores import fold_metrics, out_of_fold_predictions, summary
from moe_mat.mixture.report import RunReport

SUMMARY = "crossval.json"
# The same crystals may lie elsewhere by now; the digest of the data knows them.
NOT_COMPARED = {"settings.data.path"}
NAMED = 3


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
        path = folder / SUMMARY
        if path.is_file():
            self._check(path)
        elif folder.is_dir() and any(one.suffix != ".part" for one in folder.iterdir()):
            raise ValueError(f"--output {folder} holds other files and no {SUMMARY}: name a new folder")
        else:
            self._write({})

    def _check(self, path: Path) -> None:
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
            before, now = _flat({key: noted[key] for key in self.identity}), _flat(self.identity)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged or of another version: name a new folder by --output") from error
        names = [name for name in {**before, **now} if before.get(name) != now.get(name) and name not in NOT_COMPARED]
        if names:
            told = [f"{name} was {before.get(name)} and is {now.get(name)}" for name in names[:NAMED]]
            more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
            raise ValueError(
                f"--output {path.parent} holds another cross-validation ({'; '.join([*told, *more])}): name a new "
                "folder, or repeat its command"
            )

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
        parts = {str(number): _names(fold.split, ids) for number, (fold, _) in enumerate(trained)}
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
        self._write(found)
        return found

    def _write(self, found: Mapping[str, object]) -> None:
        write_text(self.folder / SUMMARY, json.dumps({**self.identity, **found}, indent=2))


def _names(split: Split, ids: Sequence[str]) -> dict[str, list[str]]:
    return {part: [ids[row] for row in rows] for part, rows in split._asdict().items()}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: numbers that are none are null."""
    return json.loads(frame.to_json(orient="records", double_precision=15))


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested settings by dotted names."""
    flat: dict[str, object] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
