"""Crystals to predictions of a finished model, in the columns of ``moe-mat predict``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch

from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.structures import Crystal
from moe_mat.encoders import Device
from moe_mat.files.checksum import known_sha256
from moe_mat.mixture.checkpoints import read_run_checkpoint
from moe_mat.mixture.crystal_batches import crystal_batches
from moe_mat.mixture.finished import load_finished
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.prediction_table import PredictionTable
from moe_mat.shards.work import Identity, Maker, Work, absolute_reference
from moe_mat.zoo.find import find_cards


@dataclass(frozen=True)
class Prediction(Work):
    """Predict by a finished model.

    Attributes:
        checkpoint: Its absolute path.
        experts: What finds the cards of its experts, from any working folder.
        level: Of the intervals.
        device: Where encoders compute.
    """

    checkpoint: str
    experts: tuple[str, ...]
    level: float
    device: Device

    @classmethod
    def by(cls, checkpoint: Path, *, level: float, device: Device) -> Prediction:
        """Predict by the model of a checkpoint."""
        cards = find_cards(read_run_checkpoint(checkpoint)["hyper_parameters"]["experts"])
        return cls(str(checkpoint.resolve()), tuple(absolute_reference(card) for card in cards), level, device)

    @property
    def identity(self) -> Identity:  # noqa: D102
        return {
            "command": "predict",
            "experts": {card.tag: card.digest for card in find_cards(self.experts)},
            "checkpoint": known_sha256(Path(self.checkpoint)),
            "level": self.level,
        }

    def start(self, workers: int) -> Predictor:  # noqa: D102
        model = load_finished(Path(self.checkpoint), experts=self.experts)
        return Predictor(model, self.level, workers=workers, device=self.device)


class Predictor(Maker):
    """Makes rows of predictions.

    Args:
        model: A finished model.
        level: Of the intervals.
        workers: Processes that embed.
        device: Where encoders compute.
    """

    def __init__(self, model: MixtureOfExperts, level: float, *, workers: int, device: Device) -> None:
        super().__init__(model.cards, workers=workers, device=device)
        self.model, self.table, self.device = model.eval(), PredictionTable(model, level), device
        self.schema = self.table.schema

    def tables(self, crystals: Iterable[Crystal], *, refuse: Callable[[LeftOut], None]) -> Iterator[pa.Table]:  # noqa: D102
        batches = crystal_batches(
            self.cards,
            self.model.hparams["trainable"],
            crystals,
            refuse=refuse,
            device=self.device,
            loader=self.loader,
            workers=self.workers,
            pass_over=self.pass_over,
        )
        for batch in batches:
            with torch.inference_mode():
                said = self.model.say(batch)
            yield self.table.to_arrow(self.table.of_batch(batch, said))
