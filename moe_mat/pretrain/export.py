"""What a training on source data leaves in the zoo: weights, and a card that says how they came about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from moe_mat.crystals.training_crystals import PARTS
from moe_mat.files.provenance import commit
from moe_mat.pretrain.batches import SourceBatches
from moe_mat.pretrain.recipes import SourceRecipe
from moe_mat.pretrain.settings import Training
from moe_mat.pretrain.sources import SourceData
from moe_mat.pretrain.targets import SourceTarget
from moe_mat.pretrain.training import FinishedRun, SourceModule
from moe_mat.zoo.cards import ExpertCard, NetworkCard, find_trunk, trunk_digest, write_card
from moe_mat.zoo.experts import build_expert
from moe_mat.zoo.weights import write_weights


def score(
    module: SourceModule, batches: SourceBatches, values: np.ndarray, targets: Sequence[SourceTarget]
) -> dict[str, dict[str, float]]:
    """Validation and test errors of each target beside those of always predicting the training median.

    Args:
        module: A trained module.
        batches: Its data.
        values: Cleaned values in their units ``[n, n_targets]``.
        targets: What the columns are.

    Returns:
        Name of the target to ``validation_mae``, ``validation_median_mae``, ``test_mae`` and ``test_median_mae`` in its
        unit; for a logarithmic target also the errors of the natural logarithm, ``validation_log_mae`` and so on.
    """
    medians = np.nanmedian(values[batches.rows["train"].numpy()], axis=0)
    metrics: dict[str, dict[str, float]] = {target.name: {} for target in targets}
    for part, label in (("val", "validation"), ("test", "test")):
        with torch.inference_mode():
            outputs = [module.predict_transformed(batch.inputs) for batch in batches.evaluation_loader(part)]
        predicted = torch.cat(outputs).double().numpy()
        true = values[batches.rows[part].numpy()]
        for i, target in enumerate(targets):
            found = metrics[target.name]
            found[f"{label}_mae"] = _mae(target.inverse_transform(predicted[:, i]), true[:, i])
            found[f"{label}_median_mae"] = _mae(medians[i], true[:, i])
            if target.transform == "log":
                logarithm = target.apply_transform(true[:, i])
                found[f"{label}_log_mae"] = _mae(predicted[:, i], logarithm)
                found[f"{label}_log_median_mae"] = _mae(target.apply_transform(medians[i]), logarithm)
    return metrics


def _mae(predicted: np.ndarray | float, true: np.ndarray) -> float:
    return float(f"{np.nanmean(np.abs(predicted - true)):.6g}")


@dataclass(frozen=True)
class Experts:
    """Writes the experts of one training.

    Attributes:
        recipe: What was trained on.
        training: With which settings.
        source: The data.
        targets: What the columns of the data's values are.
        metrics: See `score`.
        run: How the training went.
        folder: Where the experts go.
    """

    recipe: SourceRecipe
    training: Training
    source: SourceData
    targets: Sequence[SourceTarget]
    metrics: dict[str, dict[str, float]]
    run: FinishedRun
    folder: Path

    def write(
        self,
        tag: str,
        title: str,
        module: nn.Module,
        /,
        *,
        names: Sequence[str],
        only: Collection[str] | None = None,
        card_of: Callable[..., ExpertCard],
    ) -> ExpertCard:
        """Write one expert: weights, card, and the training crystals that all experts of the source share.

        Args:
            tag: Its name.
            title: A line that says what it is; the source's name is added.
            module: Encoder or network.
            names: Targets that it was trained on.
            only: Names of the weights to write; by default all.
            card_of: Makes the card from what all experts have: one of the classes of cards, with the fields of its
                kind that say how to rebuild the module.
        """
        training_crystals = self.folder / f"{self.recipe.name}.training_crystals.npz"
        self.source.training_crystals.save(training_crystals)
        targets = {target.name: target for target in self.targets if target.name in names}
        units = {target.unit for target in targets.values()}
        card = card_of(
            tag=tag,
            title=f"{title}; {self.recipe.dataset}",
            weights=write_weights(
                {name: value for name, value in _stored(module).items() if only is None or name in only},
                self.folder / f"{tag}.safetensors",
            ),
            target=", ".join(target.property for target in targets.values()),
            unit=units.pop() if len(units) == 1 else None,
            source=self._source(),
            metrics=self.metrics[names[0]] if len(names) == 1 else {name: self.metrics[name] for name in names},
            training=self._training(targets),
            training_crystals=training_crystals.name,
            license=self.recipe.license,
            citation=self.recipe.citation,
            path=self.folder / f"{tag}.yaml",
        )
        if isinstance(card, NetworkCard):
            card = replace(card, trunk_digest=trunk_digest(find_trunk(card)))
        write_card(card)
        build_expert(card)  # what was written can be loaded
        return card

    def _source(self) -> dict[str, object]:
        return {
            "dataset": self.recipe.dataset,
            "file": self.recipe.file,
            "crystals": len(self.source.ids),
            "left_out": {reason: n for reason, n in self.source.rows.items() if reason != "read" and n},
            "max_atoms": self.training.max_atoms,
            **({"ground_state": self.recipe.ground_state} if self.recipe.ground_state is not None else {}),
        }

    def _training(self, targets: Mapping[str, SourceTarget]) -> dict[str, object]:
        return {
            "targets": {name: self._rows_and_rules(target) for name, target in targets.items()},
            "settings": self.training.on_card(),
            "fractions": list(self.recipe.fractions),
            "seed": self.recipe.seed,
            "epochs": self.run.epochs,
            "best_epoch": self.run.best_epoch,
            "seconds": round(self.run.seconds, 1),
            "moe_mat": version("moe_mat"),
            "torch": str(torch.__version__),
            **({"commit": code} if (code := commit()) else {}),
        }

    def _rows_and_rules(self, target: SourceTarget) -> dict[str, object]:
        column = [t.name for t in self.targets].index(target.name)
        present = np.isfinite(self.source.values[:, column])
        learned = target.apply_transform(self.source.values[self.source.rows_of("train"), column])
        return {
            "value": target.value,
            **({} if target.unit is None else {"unit": target.unit}),
            "transform": target.transform if not target.shift else f"ln(value + {target.shift:g})",
            # What networks give is in units of these.
            "mean": float(f"{np.nanmean(learned):.6g}"),
            "std": float(f"{np.nanstd(learned):.6g}"),
            "rows": {part: int(present[self.source.rows_of(part)].sum()) for part in PARTS},
            "cleaning": self.source.cleaning[target.name],
        }


def _stored(module: nn.Module) -> dict[str, Tensor]:
    """Parameters as float16, which is how they were scored; statistics as they are."""
    parameters = dict(module.named_parameters())
    return {name: value.half() if name in parameters else value for name, value in module.state_dict().items()}
