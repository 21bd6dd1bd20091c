"""The six commands over toy data: a second each, and every kind of file that the package writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import toy_binaries
from cli.own_runs import write_parquet
from toy_benchmark import write_method, write_tasks
from toy_experts import cgcnn_expert
from toy_hub import hub

from chaos import contents
from chaos.contents import Contents

CHECKPOINTS = Path("runs/own/version_0/checkpoints")
N_COPIES = 3
N_SKIPPED = 3


@dataclass(frozen=True)
class Command:
    """A command and what it promises.

    Attributes:
        name: What the table calls it.
        arguments: Of its command line.
        outcomes: What is in its folder, for each of its runs.
        reports: What it says when something is written -> the files; ``"*"`` stands for all.
        program: See `Job`.
        ending: Of its group gets a signal, and not the process alone.
        resume: From the folder of a run that was killed to further arguments of the next.
    """

    name: str
    arguments: tuple[str, ...]
    outcomes: Callable[[Path], Sequence[Contents]]
    reports: Mapping[str, Sequence[str]] = field(default_factory=dict)
    program: str = "moe-mat"
    ending: str = "process"
    resume: Callable[[Path], tuple[str, ...]] = lambda folder: ()

    @property
    def says(self) -> str:
        """How a line begins in which it says why it ended."""
        return (
            rf"moe-mat( {self.name})?: " if self.program == "moe-mat" else r"benchmarks\.sweep: |\d+ cells finished, \d"
        )


def _once(read: Callable[[Path], Contents]) -> Callable[[Path], Sequence[Contents]]:
    """Outcomes of a command whose repetition takes the place of what was there."""
    return lambda folder: [read(folder)]


def _last_checkpoint(folder: Path) -> tuple[str, ...]:
    """A fit goes on from the checkpoint of its last epoch, where there is one."""
    return ("--ckpt_path", str(CHECKPOINTS / "last.ckpt")) if (folder / CHECKPOINTS / "last.ckpt").exists() else ()


def write_data(base: Path) -> None:
    """All that the commands read, but for the checkpoint of predict."""
    table = pd.read_parquet(write_parquet(base))
    copies = [table.assign(name=table["name"] + f" {number}") for number in range(N_COPIES)]
    pd.concat(copies, ignore_index=True).to_parquet(base / "many.parquet")
    cgcnn_expert(base / "zoo", "toy")
    hub(base / "hub")
    binaries = pd.read_parquet(toy_binaries.write_binaries(base) / "toy.parquet")
    binaries[::N_SKIPPED].to_parquet(base / "toy.parquet")
    networks = toy_binaries.RECIPE["networks"] | {"max_epochs": 3, "batch_size": 32}
    cgcnn = toy_binaries.RECIPE["cgcnn"] | {"max_epochs": 2, "batch_size": 32}
    toy_binaries.write_recipe(base, networks=networks, cgcnn=cgcnn)
    write_tasks(base / "benchmark")
    write_method(base, "noisy", kind="toy_benchmark:noisy_median")
    settings = {"n_members": 1, "max_epochs": 2, "head": "mlp", "hidden": [8], "width": 4}
    write_method(base, "mixture", kind="mixture", experts=[str(base / "zoo" / "toy.yaml")], settings=settings)


def fit(base: Path, *, name: str = "fit", head: str = "mlp", epochs: int = 8) -> Command:
    """A fit of a mixture of a computed and a learned expert."""
    arguments = [
        *("fit", "--data.path", base / "own.parquet", "--data.target", "bulk_modulus", "--data.id_column", "name"),
        *(f"--model.experts=[magpie,{base / 'zoo' / 'toy.yaml'}]", f"--model.head={head}"),
        f"--trainer.max_epochs={epochs}",
    ]
    reports = {"run folder: ": ["*"]}
    return Command(name, _text(arguments), contents.run_folders, reports, resume=_last_checkpoint)


def commands(base: Path) -> dict[str, Command]:
    """The commands by name.

    Args:
        base: What `write_data` wrote, and in ``model.ckpt`` the checkpoint that predict uses.
    """
    crystals = [base / "own.parquet", "--id_column", "name"]
    benchmark = ["--cards", base / "benchmark" / "cards", "--data", base / "benchmark" / "data"]
    methods = ["--methods", base / "noisy.yaml", base / "mixture.yaml", "--splits", "0", "1"]
    many = ["--data.path", base / "many.parquet", "--data.id_column", "name"]
    zoo = f"[magpie,{base / 'zoo' / 'toy.yaml'}]"
    found = [
        fit(base),
        Command(
            "predict",
            _text(["predict", "--ckpt_path", base / "model.ckpt", *many]),
            _once(contents.predictions),
            {"predictions in": ["*"]},
        ),
        Command(
            "embed",
            _text(["embed", base / "many.parquet", "--id_column", "name", "--experts", zoo]),
            _once(contents.embeddings),
            {"crystals by 2 experts in": ["*"]},
        ),
        Command(
            "compose",
            _text(["compose", *crystals, "--target", "bulk_modulus", "--modules", base / "hub" / "full_*"]),
            _once(contents.composition),
            {"; written to": ["composed/composition.yaml", "composed/mixture.yaml"]},
        ),
        Command(
            "pretrain",
            _text(["pretrain", base / "toy.yaml", "--data", base]),
            _once(contents.experts),
            {"experts in experts": ["*"]},
        ),
        Command(
            "sweep",
            _text([*benchmark, *methods, "--output", "results"]),
            _once(contents.results),
            _cells(),
            program="sweep",
            ending="group",
        ),
    ]
    return {command.name: command for command in found}


def _cells() -> dict[str, Sequence[str]]:
    """A line for each result of the sweep -> its file."""
    return {
        f"{method} {task} split {split} seed 0: val": [f"results/{method}/{task}.{split}.0.json"]
        for method in ("noisy", "mixture")
        for task in ("toy_gap", "toy_volume")
        for split in (0, 1)
    }


def _text(arguments: Sequence[object]) -> tuple[str, ...]:
    return tuple(map(str, arguments))
