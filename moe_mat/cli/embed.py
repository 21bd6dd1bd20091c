"""The command ``moe-mat embed``: crystals in, a Parquet file of vectors out, in a stream."""

from __future__ import annotations

from typing import Any

from moe_mat import crystals, zoo
from moe_mat.cli.options import CrystalOptions
from moe_mat.cli.outputs import check_output
from moe_mat.cli.screen import Facts, screen
from moe_mat.crystals.errors import CrystalError, LeftOut
from moe_mat.encoders.devices import Device
from moe_mat.files.progress import Progress
from moe_mat.files.whole import whole_file


def embed(
    path: str,
    *,
    output: str = "embeddings.parquet",
    experts: str | list[str] = "default",
    device: Device = "auto",
    reading: CrystalOptions,
) -> Facts:
    """Embed crystals: Parquet with material_id and one column of vectors an expert.

    Args:
        path: Crystals in any readable format.
        output: Parquet file to write.
        experts: A tag, pattern, tier or folder of cards, or several as ``[a,b]``.
        device: Where encoders compute: cpu, cuda, or auto, a GPU where there is one.
        reading: How crystals are read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    screen.leave_stdout_to(output)
    check_output(output, [path, *([experts] if isinstance(experts, str) else experts)])
    left_out: list[LeftOut] = []

    def refuse(problem: LeftOut) -> None:
        if reading.on_error == "raise":
            raise CrystalError(problem)
        left_out.append(problem)

    cards = zoo.find_cards(experts)
    schema = pa.schema(
        [("material_id", pa.string()), *((card.tag, pa.list_(pa.float32(), card.dim)) for card in cards)]
    )
    found = crystals.iter_crystals(
        path,
        id_column=reading.id_column,
        structure_column=reading.structure_column,
        on_error=reading.on_error,
        left_out=left_out,
    )
    rows = 0
    with (
        Progress("embedding crystals") as progress,
        whole_file(output) as part,
        pq.ParquetWriter(part, schema, write_page_checksum=True) as writer,
    ):
        for chunk, values in zoo.embed_stream(cards, found, refuse=refuse, device=device):
            columns: list[Any] = [pa.array([crystal.material_id for crystal in chunk])]
            columns += [pa.FixedSizeListArray.from_arrays(v.ravel(), v.shape[1]) for v in values.values()]
            writer.write_table(pa.table(columns, schema=schema))
            rows += len(chunk)
            progress.advance(len(chunk))
    screen.print(f"{rows} crystals by {len(cards)} experts in [bold]{output}[/bold]; {len(left_out)} left out")
    for one in left_out:
        screen.text(f"  {one}")
    tags = [card.tag for card in cards]
    return {"output": output, "rows": rows, "experts": tags, "left_out": [str(one) for one in left_out]}
