"""The page that fit, validate and test leave in the run folder: a run is finished also where it cannot be made."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from moe_mat.cli.grammar import Given
from moe_mat.cli.one_split import TRAINING_OPTIONS
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.report import RunReport

logger = logging.getLogger(__name__)


def page_of_run(
    report: RunReport,
    model: MixtureOfExperts,
    data: CrystalDataModule,
    folder: Path,
    *,
    level: float,
    seed: int | bool | None,
    commands: Mapping[str, str],
) -> Path | None:
    """Write the page of a run whose numbers are written; ``None``, with a warning, where that fails.

    Args:
        report: The run's numbers.
        model: Finished.
        data: That was predicted.
        folder: Of the run.
        level: Of the intervals.
        seed: Of everything random.
        commands: What it does to the command that does it.
    """
    try:
        from moe_mat.pages import RunSubject, write_run_page

        return write_run_page(RunSubject(folder, report, model, data, level, seed, commands))
    except Exception as error:  # whatever it is, hours of training are worth more than their picture
        logger.warning("the run is complete, but its report.html was not made: %s: %s", type(error).__name__, error)
        logger.debug("", exc_info=True)
        return None


def commands_of_run(
    command: str, given: Sequence[Given], data: CrystalDataModule, *, folder: Path, checkpoint: str
) -> dict[str, str]:
    """What a run does, and what may follow, to the commands that do it.

    Args:
        command: ``fit``, ``validate`` or ``test``.
        given: What was typed for it.
        data: Of the run.
        folder: Of the run.
        checkpoint: Of its model.
    """
    settings = data.settings
    commands = {"As it was typed": shlex.join(["moe-mat", command, *map(str, given)])}
    config = folder / "config.yaml"
    if command == "fit":
        commands["The same again, with every setting as it was"] = shlex.join(
            ["moe-mat", "fit", "--config", str(config)]
        )
        commands["Its errors on the test rows once more"] = shlex.join(
            ["moe-mat", "test", "--config", str(config), "--ckpt_path", checkpoint]
        )
        taken = [one for one in given if one.name in TRAINING_OPTIONS or str(one.name).startswith(("data.", "model."))]
        commands["Errors on every crystal, by cross-validation"] = shlex.join(["moe-mat", "crossval", *map(str, taken)])
    commands["Predict new crystals"] = f"moe-mat predict NEW_CRYSTALS --ckpt_path {shlex.quote(checkpoint)}"
    if settings.path is not None and isinstance(settings.target, str):
        predictions = [] if data.classes else ["--predictions", str(folder / "predictions.csv")]
        words = ["moe-mat", "audit", settings.path, "--target", settings.target, *predictions]
        commands["What the experts have seen, by structure"] = shlex.join(words)
    return commands
