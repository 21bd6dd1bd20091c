"""What ``moe-mat suggest`` reads: a finished model, the crystals that are measured, and a stream of candidates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import yaml
from pymatgen.core import Structure

from moe_mat.cli.options import CrystalOptions
from moe_mat.crystals import Crystal, CrystalError, LeftOut, iter_crystals, read_structures
from moe_mat.encoders import Device
from moe_mat.files.progress import Progress
from moe_mat.mixture.crystal_batches import crystal_batches
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.finished import load_finished
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.settings import DataSettings
from moe_mat.suggest import Measured, Screening


@dataclass(frozen=True)
class FinishedModel:
    """A model of a checkpoint.

    Attributes:
        model: Ready to predict.
        device: Where its encoders compute.
    """

    model: MixtureOfExperts
    device: Device

    @classmethod
    def read(cls, checkpoint: Path, device: Device) -> FinishedModel:
        """Read it.

        Raises:
            WeightsError: When it is none, or not finished; names the file and the remedy.
        """
        return cls(load_finished(checkpoint), device)

    @property
    def targets(self) -> list[str]:
        """Their names."""
        return [str(target) for target in self.model.hparams["targets"]]

    def column(self, target: str | None) -> int:
        """Of a target.

        Raises:
            ValueError: When the model does not have it, or has several and none is named.
        """
        if target is None and len(self.targets) == 1:
            return 0
        if target not in self.targets:
            raise ValueError(f"--target is {target!r}: the model's targets are {', '.join(self.targets)}")
        return self.targets.index(target)


def measured_crystals(checkpoint: Path, model: FinishedModel, path: str | None) -> Measured:
    """The crystals whose values are known.

    Args:
        checkpoint: Of a run, in whose folder its settings are.
        model: Of the checkpoint.
        path: Where the crystals are; by default where the settings say.

    Raises:
        ValueError: When neither is there.
    """
    targets, of_classes = model.targets, bool(model.model.classes)
    settings = DataSettings(path=path, target=targets) if path is not None else _of_run(checkpoint)
    data = CrystalDataModule(settings)
    try:
        structures, table = read_structures(
            data.source,
            targets=targets,
            kind="class" if of_classes else "number",
            id_column=settings.id_column,
            structure_column=settings.structure_column,
            on_error=settings.on_error,
        )
    except FileNotFoundError as error:
        raise ValueError(
            f"{error}, which the run has learned from: name the measured crystals by --measured"
        ) from error
    values = np.full((len(table), 1), np.nan) if of_classes else table[targets].to_numpy(dtype=float)
    return Measured(structures, values)


def _of_run(checkpoint: Path) -> DataSettings:
    config = checkpoint.resolve().parent.parent / "config.yaml"
    if not config.is_file():
        raise ValueError(f"there is no {config} that says which crystals are measured: name them by --measured")
    given = yaml.safe_load(config.read_text(encoding="utf-8"))["data"]
    known = {one.name for one in fields(DataSettings)}
    return DataSettings(**{name: value for name, value in given.items() if name in known})


def screen_candidates(
    screening: Screening, finished: FinishedModel, path: str, reading: CrystalOptions
) -> list[LeftOut]:
    """Go through candidates in bounded memory; returns those that cannot be used.

    Raises:
        CrystalError: When one cannot be used and the options want to stop there.
    """
    left_out: list[LeftOut] = []
    waiting: dict[str, Structure] = {}  # admitted, and not embedded yet
    model = finished.model

    def refuse(problem: LeftOut) -> None:
        if reading.on_error == "raise":
            raise CrystalError(problem)
        waiting.pop(str(problem.material_id), None)
        left_out.append(problem)

    def admitted(progress: Progress) -> Iterator[Crystal]:
        for crystal in iter_crystals(path, **vars(reading), left_out=left_out, columns=()):
            progress.advance()
            if screening.admits(crystal.material_id, crystal.structure):
                waiting[crystal.material_id] = crystal.structure
                yield crystal

    with Progress("going through candidates") as progress, torch.inference_mode():
        crystals = admitted(progress)
        trainable = model.hparams["trainable"]
        for batch in crystal_batches(model.cards, trainable, crystals, refuse=refuse, device=finished.device):
            structures = [waiting.pop(name) for name in batch.ids]
            screening.consider(list(batch.ids), structures, model.say(batch), model.head.embed(batch)[0])
    return left_out
