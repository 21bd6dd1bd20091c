"""The command ``moe-mat explain``: why crystals are predicted as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from moe_mat.cli.options import CrystalOptions
from moe_mat.cli.outputs import check_output
from moe_mat.cli.screen import Facts, screen
from moe_mat.crystals.errors import CrystalError, LeftOut
from moe_mat.encoders.devices import Device
from moe_mat.mixture.settings import DEFAULT_LEVEL

if TYPE_CHECKING:
    from moe_mat.explain import Explanation

# Crystals that are told of on the screen.
SHOWN = 3


def explain(
    path: str,
    *,
    ckpt_path: str,
    neighbours: int = 5,
    level: float = DEFAULT_LEVEL,
    quantity: str | None = None,
    sources: str | None = None,
    output: str | None = None,
    workers: int = 1,
    device: Device = "auto",
    reading: CrystalOptions,
) -> Facts:
    """Tell why crystals are predicted as they are: neighbours, experts, what source networks predict, who has seen it.

    Args:
        path: Crystals in any readable format; of the first few it is told on the screen.
        ckpt_path: Checkpoint of a finished model.
        neighbours: How many of the nearest training crystals are shown.
        level: Of the intervals; classes have probabilities.
        quantity: What the target measures, such as ``band_gap``; by default known by its name.
        sources: Folder of the files that experts were trained on; by default pretrain in MOE_MAT_DATA.
        output: File for all crystals: JSON, or CSV or Parquet, where each table has a file of its own.
        workers: Processes that embed.
        device: Where encoders compute: cpu, cuda, or auto, a GPU where there is one.
        reading: How crystals are read.

    Raises:
        ValueError: When the checkpoint, the crystals or a setting cannot be used; says which and why.
    """
    from moe_mat.crystals import iter_crystals
    from moe_mat.explain import Explainer, files_of, to_dict, write_explanation
    from moe_mat.mixture import load_finished
    from moe_mat.mixture.crystal_batches import crystal_batches

    if output is not None:
        screen.leave_stdout_to(output)
        for file in files_of(Path(output)).values():
            check_output(file, [path, ckpt_path, sources])
    model = load_finished(Path(ckpt_path))
    explainer = Explainer([model], model, neighbours=neighbours, level=level, device=device)
    left_out: list[LeftOut] = []

    def refuse(problem: LeftOut) -> None:
        if reading.on_error == "raise":
            raise CrystalError(problem)
        left_out.append(problem)

    crystals = list(iter_crystals(path, **vars(reading), left_out=left_out, columns=()))
    structures = {crystal.material_id: crystal.structure for crystal in crystals}
    made_of = model.cards, model.hparams["trainable"]
    batches = crystal_batches(*made_of, crystals, refuse=refuse, device=device, workers=workers)
    named = ((batch, [structures[name] for name in batch.ids]) for batch in batches)
    told = explainer.explain(named, quantity=quantity, sources=None if sources is None else Path(sources))
    _show(told, left_out, output)
    files = [] if output is None else [str(file) for file in write_explanation(told, Path(output))]
    if files:
        screen.print(f"{len(told.crystals)} crystals in [bold]{', '.join(files)}[/bold]")
    facts = {"output": files, "left_out": [str(one) for one in left_out]}
    return facts if files else {**facts, **to_dict(told)}


def _show(told: Explanation, left_out: Sequence[LeftOut], output: str | None) -> None:
    from moe_mat.explain import shown

    names = told.crystals["material_id"].tolist()
    for name in names[:SHOWN]:
        for one in shown(told.of(name)):
            screen.table(one) if isinstance(one, Table) else screen.print(one, highlight=False, soft_wrap=True)
    if len(names) > SHOWN:
        more = "" if output else "; --output explained.json tells of all"
        screen.text(f"\nand {len(names) - SHOWN} other crystals{more}")
    for note in told.notes:
        screen.text(f"note: {note}")
    for problem in left_out:
        screen.text(f"left out: {problem}")
