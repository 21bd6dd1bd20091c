"""A small mixture, data that it can learn, and training by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.report import RunReport, evaluate
from moe_mat.mixture.training import complete
from moe_mat.zoo.cards import ExpertCard

ROWS = {"train": torch.arange(50), "val": torch.arange(50, 65), "test": torch.arange(65, 80)}

HEADS = ("kernel", "inducing", "mlp")


def embeddings() -> Tensor:
    return torch.randn(80, 14, generator=torch.Generator().manual_seed(0))


def target_of(x: Tensor) -> Tensor:
    """A function of the first expert's embedding alone, positive and skewed, far from 1 in scale."""
    return 30 * (0.5 * x[:, 0] + 0.3 * x[:, 1] * x[:, 2].sign()).exp()


def synthetic(targets: Tensor | None = None, *, batch_size: int = 16) -> EmbeddingDataModule:
    x = embeddings()
    targets = target_of(x)[:, None] if targets is None else targets
    names = [f"crystal{row}" for row in range(80)]
    return EmbeddingDataModule(x, targets, ROWS, ids=names, batch_size=batch_size)


def new_model(cards: list[ExpertCard], **settings: Any) -> MixtureOfExperts:
    torch.manual_seed(0)
    return MixtureOfExperts(experts=[str(card.path) for card in cards], **settings)


def finish(model: MixtureOfExperts, data: EmbeddingDataModule, targets: list[str]) -> RunReport:
    before = complete(model, data, before_refit=lambda: evaluate(model, data, targets, parts=("train", "val")))
    return before.joined(evaluate(model, data, targets, parts=("test",)))


def fit(model: MixtureOfExperts, data: EmbeddingDataModule, folder: Path, *, epochs: int = 3) -> str:
    """Train; the path of the checkpoint of the last epoch."""
    pl.seed_everything(0)
    keep = ModelCheckpoint(folder, save_last=True, enable_version_counter=False)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    pl.Trainer(max_epochs=epochs, callbacks=[keep], accelerator="cpu", **quiet).fit(model, datamodule=data)
    model.eval()
    return keep.last_model_path


def predictions(model: MixtureOfExperts, data: EmbeddingDataModule, part: str = "test") -> Tensor:
    with torch.no_grad():
        return model.eval()(data.part(part))
