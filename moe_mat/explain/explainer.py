"""From embedded crystals to what is told of their predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.crystals.grouping import formula_groups
from moe_mat.crystals.structures import structure_key
from moe_mat.encoders import Device, choose_device
from moe_mat.explain.account import Explanation
from moe_mat.explain.networks import networks_note, source_predictions
from moe_mat.explain.seen import quantities_of, seen_by_experts
from moe_mat.files.folders import data_folder
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.calibrated import Calibrated
from moe_mat.mixture.class_probabilities import labels_of
from moe_mat.mixture.heads.gated import GatedHead
from moe_mat.mixture.heads.gaussian_process import NEGLIGIBLE
from moe_mat.mixture.learned_crystals import LearnedCrystals
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.nearest import Nearest, nearest_of, rows_kept
from moe_mat.mixture.predicted import Said
from moe_mat.mixture.report import told_columns

NAMELESS = (
    "this model is of a version that did not note what its training crystals are called: neighbours are numbers in the "
    "order in which it keeps them, without formula and value; fit again to have them named"
)
STRANGERS = (
    "this model is of a version that did not note what its training crystals are called, so its members cannot say of "
    "which they speak: there are no neighbours; fit again to have them"
)
MIXED = (
    "the head {head} mixes the experts into one embedding: no part of its distance belongs to one of them, so they "
    "have a gate weight and no share"
)
LANDMARKS = "neighbours are the nearest of the {n} landmarks, the training crystals that the inducing head keeps"
MEMBERS = "distances, shares and gate weights are means over {n} members"
CLASSES = "each class has gates of its own: distances, shares and gate weights are means over the classes"

NEIGHBOURS = ["material_id", "target", "rank", "neighbour", "formula", "value", "distance"]


class Explainer:
    """Explains what a model, or the mean of several, says of crystals.

    Args:
        models: Fitted, with the same experts and targets.
        together: What knows how far to trust their mean: the one model, or the members.
        neighbours: How many of the nearest crystals of the training are shown.
        level: Of the intervals.
        device: Where what is trained of the experts computes.

    Raises:
        ValueError: When the number of neighbours or the level makes no sense.
    """

    def __init__(
        self,
        models: Sequence[MixtureOfExperts],
        together: Calibrated,
        *,
        neighbours: int,
        level: float,
        device: Device = "auto",
    ) -> None:
        if neighbours < 1:
            raise ValueError(f"neighbours is {neighbours}: ask for 1 or more")
        if not 0 < level < 1:
            raise ValueError(f"the level of an interval is a share between 0 and 1, such as 0.9, and not {level}")
        self.models, self.together, self.neighbours, self.level = models, together, neighbours, level
        self.device = choose_device(device)
        self.cards = models[0].cards
        self.targets = tuple(str(name) for name in models[0].hparams["targets"])
        self.learned: LearnedCrystals | None = None
        self.rows: Sequence[Sequence[Tensor]] = []
        known = [model.learned for model in models if model.learned is not None]
        if len(known) == len(models):
            self.learned, self.rows = LearnedCrystals.union(known)

    def explain(
        self,
        batches: Iterable[tuple[Batch, Sequence[Structure]]],
        *,
        quantity: str | None = None,
        sources: Path | None = None,
    ) -> Explanation:
        """Explain crystals.

        Args:
            batches: Some named crystals each, embedded by the model's experts, and the crystals themselves.
            quantity: What the targets measure; by default known by their names.
            sources: Folder of the files that experts were trained on; by default pretrain in the data folder.

        Raises:
            ValueError: When there is no such quantity or no crystal, or an expert's training crystals are damaged.
        """
        quantities = quantities_of(self.targets, quantity, self.cards)
        told, structures = [], list[Structure]()
        for batch, of_batch in batches:
            told.append(self._of_batch(batch, of_batch))
            structures += of_batch
        if not told:
            raise ValueError("there is no crystal that can be explained")
        found = Explanation.joined(told)
        ids = found.crystals["material_id"].tolist()
        folder = sources or data_folder() / "pretrain"
        seen = seen_by_experts(structures, ids, self.cards, quantities=quantities, sources=folder)
        return replace(found, seen=seen.rows, notes=(*found.notes, *seen.notes))

    @torch.inference_mode()
    def _of_batch(self, batch: Batch, structures: Sequence[Structure]) -> Explanation:
        """All but who has seen the crystals."""
        ids = batch.ids
        crystals = self._crystals(Said.mean([self._say(model, batch) for model in self.models]), structures, ids)
        neighbours, experts = [], []
        for target in range(len(self.targets)):
            nearest = self._nearest(batch, target)
            neighbours.append(self._neighbours(nearest, ids, target))
            experts.append(self._experts(nearest, self._gate_weights(batch, target), ids, target))
        return Explanation(
            crystals,
            _in_order(neighbours, ids),
            _in_order(experts, ids),
            source_predictions(self.cards, batch.embeddings, ids),
            pd.DataFrame({"material_id": []}),
            self.targets,
            self.level,
            tuple(note for note in (*self._notes(), networks_note(self.cards)) if note),
        )

    def _say(self, model: MixtureOfExperts, batch: Batch) -> Said:
        with model.head.tuned_on(self.device):
            return model.eval().say(batch)

    def _crystals(self, said: Said, structures: Sequence[Structure], ids: Sequence[str]) -> pd.DataFrame:
        keys = [structure_key(structure) for structure in structures]
        in_sample = [model.outcome.knows(keys) for model in self.models if model.outcome is not None]
        columns: dict[str, object] = {
            "material_id": list(ids),
            "formula": formula_groups(structures),
            "in_sample": np.any(in_sample, axis=0) if in_sample else False,
            "composition_beyond": said.beyond.numpy(),
        }
        for column, target in enumerate(self.targets):
            told = told_columns(self.together, said, column, self.level)
            columns |= {f"{target}_{name}": of for name, of in told.items()}
        return pd.DataFrame(columns)

    def _nearest(self, batch: Batch, target: int) -> Nearest | None:
        if self.learned is None and len(self.models) > 1:
            return None
        rows = self.rows or [rows_kept(self.models[0])]
        return nearest_of(self.models, rows, batch, self.neighbours, columns=self.models[0].columns_of(target))

    def _neighbours(self, nearest: Nearest | None, ids: Sequence[str], target: int) -> pd.DataFrame:
        if nearest is None:
            return pd.DataFrame(columns=NEIGHBOURS)
        n, k = nearest.rows.shape
        rows, known = nearest.rows.flatten(), self.learned
        frame = pd.DataFrame({"material_id": np.repeat(np.array(ids, dtype=object), k), "target": self.targets[target]})
        frame["rank"] = np.tile(np.arange(1, k + 1), n)
        numbers = rows.tolist()
        frame["neighbour"] = [f"number {row}" if known is None else known.ids[row] for row in numbers]
        frame["formula"] = None if known is None or not known.formulas else [known.formulas[row] for row in numbers]
        frame["value"] = np.nan if known is None else self._values(known.targets[rows], target)
        return frame.assign(distance=nearest.distances.flatten().numpy())[NEIGHBOURS]

    def _values(self, targets: Tensor, target: int) -> NDArray[Any]:
        """What a target was, of what was learned of some crystals ``[n, n_columns]``: numbers, or names of classes."""
        classes = self.together.classes
        return targets[:, target].numpy() if classes is None else np.array(classes, dtype=object)[labels_of(targets)]

    def _gate_weights(self, batch: Batch, target: int) -> Tensor:
        """Of each expert ``[n, n_experts]``."""
        found = []
        for model in self.models:
            with model.head.tuned_on(self.device):
                weights = model.head.embed(batch)[1]
            columns = model.columns_of(target)
            found.append(weights[:, columns].mean(1) if isinstance(model.head, GatedHead) else weights.mean(1))
        return torch.stack(found).mean(0)

    def _experts(self, nearest: Nearest | None, weights: Tensor, ids: Sequence[str], target: int) -> pd.DataFrame:
        shares = None if nearest is None else nearest.shares
        if shares is None:
            of_nearest = of_all = torch.full_like(weights, torch.nan)
        else:
            first = shares.isfinite().all(2).int().argmax(1)  # one at no distance is the crystal itself, or its copy
            of_nearest, of_all = shares[torch.arange(len(shares)), first], shares.nanmean(1)
        counts = (weights.amax(0) > NEGLIGIBLE).nonzero()[:, 0].tolist()
        frame = pd.DataFrame(
            {
                "material_id": np.repeat(np.array(ids, dtype=object), len(counts)),
                "target": self.targets[target],
                "expert": [self.cards[expert].tag for expert in counts] * len(ids),
            }
        )
        for name, values in (("gate_weight", weights), ("share_of_nearest", of_nearest), ("share", of_all)):
            frame[name] = values[:, counts].flatten().numpy()
        return frame

    def _notes(self) -> list[str | None]:
        head = self.models[0].head
        inducing = self.learned is not None and head.name == "inducing"
        mixed = head.experts_of_axes(0) is None
        return [
            None if self.learned is not None else NAMELESS if len(self.models) == 1 else STRANGERS,
            LANDMARKS.format(n=len(head.known_positions(0))) if inducing else None,
            MIXED.format(head=head.name) if mixed else None,
            MEMBERS.format(n=len(self.models)) if len(self.models) > 1 else None,
            CLASSES if len(self.models[0].columns_of(0)) > 1 and isinstance(head, GatedHead) else None,
        ]


def _in_order(of_targets: Sequence[pd.DataFrame], ids: Sequence[str]) -> pd.DataFrame:
    """The rows of one crystal after those of the other."""
    order = {name: row for row, name in enumerate(ids)}
    rows = pd.concat(of_targets, ignore_index=True)
    return rows.sort_values("material_id", key=lambda names: names.map(order), kind="stable", ignore_index=True)
