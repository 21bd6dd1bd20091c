"""The command ``moe-mat embed``: crystals in, a Parquet file of vectors out, in a stream, or in parts."""

from __future__ import annotations

from moe_mat import crystals, zoo
from moe_mat.cli.options import CrystalOptions, ShardOptions
from moe_mat.cli.outputs import check_output
from moe_mat.cli.screen import Facts, screen
from moe_mat.cli.sharded import is_sharded, run_in_parts
from moe_mat.crystals.errors import CrystalError, LeftOut
from moe_mat.encoders.devices import Device
from moe_mat.files.progress import Progress
from moe_mat.files.whole import whole_file


def embed(
    path: str,
    *,
    output: str = "embeddings.parquet",
    experts: str | list[str] = "default",
    workers: int = 1,
    device: Device = "auto",
    reading: CrystalOptions,
    sharding: ShardOptions,
) -> Facts:
    """Embed crystals: Parquet with material_id and one column of vectors an expert.

    Args:
        path: Crystals in any readable format.
        output: Parquet file to write; with --shards or --engine, folder of parts.
        experts: A tag, pattern, tier or folder of cards, or several as ``[a,b]``.
        workers: Processes that embed, each with its own copy of the experts, which changes no number; with --shards or
            --engine, parts at a time. Beside a GPU, they prepare crystals for the process that has it.
        device: Where encoders compute: cpu, cuda, or auto, a GPU where there is one.
        reading: How crystals are read.
        sharding: Which parts of a long list are computed, and where.
    """
    from moe_mat.shards import Embedder, Embedding, parquet_writer

    if not crystals.open_table(path, structure_column=reading.structure_column).has_structures:
        experts = zoo.experts_of_formulas(experts)
    cards = zoo.find_cards(experts)
    work, what = Embedding.by(cards, device), "embedding crystals"
    if is_sharded(sharding):
        return run_in_parts(
            work, sharding, workers=workers, device=device, source=path, output=output, reading=reading, what=what
        )
    screen.leave_stdout_to(output)
    check_output(output, [path, *([experts] if isinstance(experts, str) else experts)])
    left_out: list[LeftOut] = []

    def refuse(problem: LeftOut) -> None:
        if reading.on_error == "raise":
            raise CrystalError(problem)
        left_out.append(problem)

    found = crystals.iter_crystals(path, **vars(reading), left_out=left_out, columns=())
    rows = 0
    with (
        Embedder(cards, workers=workers, device=device) as maker,
        Progress(what) as progress,
        whole_file(output) as part,
        parquet_writer(part, maker.schema) as writer,
    ):
        for some in maker.tables(found, refuse=refuse):
            writer.write_table(some)
            rows += len(some)
            progress.advance(len(some))
    screen.print(f"{rows} crystals by {len(cards)} experts in [bold]{output}[/bold]; {len(left_out)} left out")
    for one in left_out:
        screen.text(f"  {one}")
    tags = [card.tag for card in cards]
    return {"output": output, "rows": rows, "experts": tags, "left_out": [str(one) for one in left_out]}
