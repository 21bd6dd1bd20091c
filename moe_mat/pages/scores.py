"""The scores of a run as a table, and the one that tells how good the model is on new crystals."""

from __future__ import annotations

from typing import Any

from moe_mat.mixture.report import RunReport

TITLES = {"train": "Training", "val": "Validation", "test": "Test"}


def scores(report: RunReport, target: str) -> dict[str, Any]:
    """Of one target, ``metrics``, a row a part, and the ``headline``: that of new crystals, if there are any."""
    records = report.metrics[report.metrics["target"] == target].to_dict("records")
    for one in records:
        one["title"] = TITLES[one["part"]] + (", in sample" if one["in_sample"] and one["part"] != "train" else "")
    new = [one for part in ("test", "val") for one in records if one["part"] == part and not one["in_sample"]]
    return {"metrics": records, "headline": next((one for one in new if one["n"]), None)}
