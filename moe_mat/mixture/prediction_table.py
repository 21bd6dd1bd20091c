"""What is written of new crystals that a finished model predicts: the columns of a CSV or Parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from moe_mat.mixture.batch import Batch
from moe_mat.mixture.class_report import class_columns, class_kinds
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.predicted import Said
from moe_mat.mixture.report import PREDICTED_OF_TARGET, UNIT, prediction_columns


class PredictionTable:
    """Columns of predictions: ``material_id``, ``in_sample``, and of each target what `prediction_columns` gives.

    Of a class they are those of `moe_mat.mixture.class_report.class_columns`.

    Args:
        model: A finished model.
        level: Of the intervals.
    """

    def __init__(self, model: MixtureOfExperts, level: float) -> None:
        self.model, self.level = model, level
        self.targets = [str(target) for target in model.hparams["targets"]]
        self.units: dict[str, str] = model.hparams["units"]
        names = [f"{target}_{kind}" for target in self.targets for kind in self._kinds(target)]
        self.columns = ["material_id", "in_sample", *names]

    def _kinds(self, target: str) -> tuple[str, ...]:
        if self.model.classes:
            return tuple(class_kinds(self.model.classes))
        return (*PREDICTED_OF_TARGET, *([UNIT] if target in self.units else []))

    @property
    def schema(self) -> pa.Schema:
        """Of Parquet; numbers that are not known are NaN."""
        flags = ("in_sample", *(f"{target}_outside" for target in self.targets))
        types: dict[str, Any] = {"material_id": pa.string(), **dict.fromkeys(flags, pa.bool_())}
        types |= {f"{target}_{UNIT}": pa.string() for target in self.units}
        types |= {f"{target}_predicted": pa.string() for target in self.targets if self.model.classes}
        return pa.schema({name: types.get(name, pa.float32()) for name in self.columns})

    def of_batch(self, batch: Batch, said: Said) -> Mapping[str, Any]:
        """The columns of some crystals ``[n]``, by name.

        Args:
            batch: The crystals.
            said: What the model says of them.
        """
        assert self.model.outcome is not None
        values: list[Any] = [list(batch.ids), self.model.outcome.knows(batch.keys)]
        if self.model.classes:
            values += class_columns(self.model, said).values()
        else:
            for column, target in enumerate(self.targets):
                values += prediction_columns(self.model, said, column, self.level).values()
                values += [np.full(len(batch.ids), self.units[target])] if target in self.units else []
        return dict(zip(self.columns, values, strict=True))

    def to_arrow(self, columns: Mapping[str, Any]) -> pa.Table:
        """What `of_batch` gave as a table of `schema`."""
        arrays = []
        for field in self.schema:
            kind = object if pa.types.is_string(field.type) else field.type.to_pandas_dtype()
            arrays.append(pa.array(np.asarray(columns[field.name], dtype=kind), type=field.type))
        return pa.Table.from_arrays(arrays, schema=self.schema)
