"""Commands on long lists of crystals, whose output is a folder of numbered parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from moe_mat.cli.options import CrystalOptions, ShardOptions
from moe_mat.cli.screen import Facts, screen
from moe_mat.cli.signals import stopped_behind

if TYPE_CHECKING:
    from moe_mat.encoders.devices import Device
    from moe_mat.engines import Engine
    from moe_mat.mixture.settings import DataSettings
    from moe_mat.shards import PartRecord, Plan, Work

# Of a worker, in bytes: what the default experts take of a batch, with room to spare.
WORKER_MEMORY = 5 * 2**29
# Parts with crystals left out; the records have all.
SHOWN = 10
# What nobody calls a folder.
FILES = (".parquet", ".pq", ".csv")
# Of each worker, so that all end at about the same time.
PARTS_OF_A_WORKER = 2


@dataclass(frozen=True)
class Shard:
    """One of several shares of the parts.

    Attributes:
        number: Counted from 1.
        of: How many there are.
    """

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Shard:
        """From ``3/64``; ``None`` is all there is.

        Raises:
            ValueError: It is no such thing.
        """
        if text is None:
            return cls()
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError(f"--shards is {text!r}: 3/64 is the third of 64, which are counted from 1 to 64")
        return cls(int(found[1]), int(found[2]))


def is_sharded(options: ShardOptions) -> bool:
    """Whether parts are wanted, in place of one file."""
    return options.shards is not None or options.engine is not None


def run_in_parts(
    work: Work,
    options: ShardOptions,
    *,
    workers: int,
    device: Device,
    source: str,
    output: str,
    reading: CrystalOptions,
    what: str,
) -> Facts:
    """Compute the parts of a shard, or all, as far as they are not finished; returns what is there then.

    Args:
        work: What is made of crystals.
        options: Which parts, and where they are computed.
        workers: Parts at a time; beside a GPU of this machine, processes that prepare crystals.
        device: Where a worker computes; one that is to have a GPU asks the cluster for it.
        source: The crystals.
        output: Folder of parts.
        reading: How crystals are read.
        what: What is done, for the bar.

    Raises:
        ValueError: The output is no folder of parts of this work, or a crystal cannot be used; names it.
    """
    from moe_mat.shards import PartTask, agreed_plan, compute_parts, write_manifest

    shard, folder = Shard.parse(options.shards), _folder_of_parts(output, source)
    path = Path(source).resolve()
    plan = agreed_plan(
        folder,
        path,
        work,
        shares=shard.of * (PARTS_OF_A_WORKER * workers if workers > 1 else 1),
        id_column=reading.id_column,
        structure_column=reading.structure_column,
        on_error=reading.on_error,
    )
    numbers = plan.share(shard.number, shard.of)
    engine, of_a_part = _engine(options, workers, device)
    task = PartTask(work, path, folder, plan.digest, reading.on_error, of_a_part)
    try:
        records = compute_parts(task, plan, numbers, engine, what=what)
    except BaseException as error:
        if (stopped := stopped_behind(error)) is not None:
            stopped.advice = f"the same command goes on with the parts that are finished in {output}"
        raise
    finally:
        engine.close()
    manifest = write_manifest(folder, plan)
    return _tell(records, plan, output=output, shard=shard, complete=manifest is not None)


def predict_in_parts(
    checkpoint: str, options: ShardOptions, *, data: DataSettings, device: Device, output: str, level: float
) -> Facts:
    """Predict the parts of a shard, or all.

    Args:
        checkpoint: Of a finished model.
        options: Which parts, and where they are computed.
        data: Where the crystals are, and how many parts are computed at a time.
        device: Where a worker computes.
        output: Folder of parts.
        level: Of the intervals.
    """
    from moe_mat.shards import Prediction

    if data.path is None:
        raise ValueError(f"data.dataset {data.dataset} is small: leave out --shards and --engine, or name --data.path")
    work = Prediction.by(Path(checkpoint), level=level, device=device)
    reading = CrystalOptions(id_column=data.id_column, structure_column=data.structure_column, on_error=data.on_error)
    return run_in_parts(
        work,
        options,
        workers=data.workers,
        device=device,
        source=data.path,
        output=output,
        reading=reading,
        what="predicting",
    )


def _folder_of_parts(output: str, source: str) -> Path:
    folder = Path(output)
    if folder.suffix in FILES or folder.is_file():
        raise ValueError(f"--output {output} is a file: with --shards or --engine, name a folder for the parts")
    if folder.exists() and Path(source).exists() and folder.samefile(source):
        raise ValueError(f"--output {output} is the folder that is read: name another one")
    return folder.resolve()


def _engine(options: ShardOptions, workers: int, device: Device) -> tuple[Engine, int]:
    """Where parts are computed, and the number of processes that embed the crystals of one."""
    from moe_mat.encoders import choose_device
    from moe_mat.engines import InlineEngine, WorkerNeeds, start_engine

    if options.engine != "ray":
        on_gpu = choose_device(device).type != "cpu"
        if on_gpu or (options.engine is None and workers == 1):
            return InlineEngine(), workers
    needs = WorkerNeeds(memory=WORKER_MEMORY, gpus=1 if device == "cuda" else 0)
    engine = start_engine(options.engine or "processes", workers, needs)
    return engine, engine.cores


def _tell(records: Mapping[int, PartRecord], plan: Plan, *, output: str, shard: Shard, complete: bool) -> Facts:
    rows, left_out = sum(one.written for one in records.values()), sum(len(one.left_out) for one in records.values())
    share = "" if shard.of == 1 else f", shard {shard.number} of {shard.of},"
    parts = f"{len(records)} of {plan.n_parts} parts{share} in [bold]{output}[/bold]"
    screen.print(f"{rows} crystals in {parts}; {left_out} left out{'; all parts are there' if complete else ''}")
    for one in [one for one in records.values() if one.left_out][:SHOWN]:
        others = len(one.left_out) - 1
        screen.text(f"  part {one.part}: {one.left_out[0]}{f'; and {others} others' if others else ''}")
    return {
        "output": output,
        "rows": rows,
        "parts": len(records),
        "all_parts": plan.n_parts,
        "complete": complete,
        "experts": list(plan.made_with["experts"]),
        "n_left_out": left_out,
    }
