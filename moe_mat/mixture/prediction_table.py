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
from moe_mat.mixture.report import PREDICTED_OF_TARGET, prediction_columns


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
        kinds = class_kinds(model.classes) if model.classes else PREDICTED_OF_TARGET
        names = [f"{target}_{kind}" for target in self.targets for kind in kinds]
        self.columns = ["material_id", "in_sample", *names]

    @property
    def schema(self) -> pa.Schema:
        """Of Parquet; numbers that are not known are NaN."""
        flags = ("in_sample", *(f"{target}_outside" for target in self.targets))
        types = {name: pa.bool_() if name in flags else pa.float32() for name in self.columns[1:]}
        if self.model.classes:
            types[f"{self.targets[0]}_predicted"] = pa.string()
        return pa.schema({"material_id": pa.string(), **types})

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
            for target in range(len(self.targets)):
                values += prediction_columns(self.model, said, target, self.level).values()
        return dict(zip(self.columns, values, strict=True))

    def to_arrow(self, columns: Mapping[str, Any]) -> pa.Table:
        """What `of_batch` gave as a table of `schema`."""
        arrays = [pa.array(columns["material_id"], type=pa.string())]
        for field in list(self.schema)[1:]:
            kind = object if pa.types.is_string(field.type) else field.type.to_pandas_dtype()
            arrays.append(pa.array(np.asarray(columns[field.name], dtype=kind)))
        return pa.Table.from_arrays(arrays, schema=self.schema)
