"""Good files of every format, and broken ones made from them."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence

import ase.io
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar
from strategies import reference_crystals

from moe_mat.zoo.card_files import zoo_folder

CRYSTALS = dict(list(reference_crystals().items())[2:5])
GAPS = [8.5, 0.0, 1.3]
FIRST: Structure = CRYSTALS["NaCl rocksalt"]

# What files hold by mistake or malice: numbers out of range, signs of the formats, and things out of place.
NUMBERS = ["0", "-1", "nan", "inf", "1e400", "1e-400", "99999999999", "0.0564", "564", "1:1:1", "0x1f", "½", "1.2.3"]
SIGNS = ["", *"[]{}\"',;:\n\r\t\x00\\#?", "*a", "&a ", "<<: ", "- ", "[" * 3000, "9" * 5000]
WORDS = ["null", "true", "[]", "{}", '""', "Xx", "Na,spin", "loop_", "_atom_site_label", "data_x", "Lattice=", "!!int"]
TOKENS = [*(token.encode() for token in [*NUMBERS, *SIGNS, *WORDS]), b"\xff\xfe", b"\xed\xa0\x80"]

Edit = Callable[[bytes], bytes]


def _records() -> list[dict[str, object]]:
    return [
        {"material_id": name, "gap": gap, "structure": crystal.as_dict()}
        for (name, crystal), gap in zip(CRYSTALS.items(), GAPS, strict=True)
    ]


def _split() -> dict[str, object]:
    rows = [[crystal.as_dict(), gap] for crystal, gap in zip(CRYSTALS.values(), GAPS, strict=True)]
    return {"columns": ["structure", "gap"], "index": [0, 1, 2], "data": rows}


def _extxyz() -> bytes:
    frames = [crystal.to_ase_atoms() for crystal in CRYSTALS.values()]
    for frame, gap in zip(frames, GAPS, strict=True):
        frame.info = {"gap": gap}
    text = io.StringIO()
    ase.io.write(text, frames, format="extxyz")
    return text.getvalue().encode()


def _parquet() -> bytes:
    columns = {
        "lattice_vectors": [crystal.lattice.matrix.tolist() for crystal in CRYSTALS.values()],
        "cartesian_site_positions": [crystal.cart_coords.tolist() for crystal in CRYSTALS.values()],
        "species_at_sites": [[str(one) for one in crystal.species] for crystal in CRYSTALS.values()],
        "gap": GAPS,
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, write_page_checksum=True)
    return buffer.getvalue()


def cif(crystal: Structure = FIRST) -> bytes:
    """A CIF."""
    return crystal.to(fmt="cif").encode()


def good_files() -> dict[str, tuple[str, bytes]]:
    """File name to what reads it, see `chaos.reader`, and its content."""
    config = {
        "data": {"path": "own.csv", "target": "gap", "fractions": [0.7, 0.15, 0.15]},
        "model": {"experts": ["magpie", "jarvis_*"], "head": "mlp", "hidden": [64, 64], "dropout": 0.1},
    }
    return {
        "table.csv": ("crystals", b"file,gap\nNaCl.cif,8.5\nMg.cif,0\nMoS2.cif,1.3\n"),
        "one.cif": ("crystals", cif()),
        "one.cif.gz": ("crystals", gzip.compress(cif(), mtime=0)),
        "one.vasp": ("crystals", Poscar(FIRST).get_str().encode()),
        "table.json": ("crystals", json.dumps(_records()).encode()),
        "split.json": ("crystals", json.dumps(_split()).encode()),
        "frames.extxyz": ("crystals", _extxyz()),
        "table.parquet": ("crystals", _parquet()),
        "magpie.yaml": ("card", (zoo_folder() / "magpie.yaml").read_bytes()),
        "jarvis_band_gap.yaml": ("card", (zoo_folder() / "jarvis_band_gap.yaml").read_bytes()),
        "fit.yaml": ("config", yaml.safe_dump(config).encode()),
    }


@st.composite
def edits(draw: st.DrawFn, size: int) -> list[Edit]:
    """One to four changes of a file of some size: what disks, transfers, editors and attackers do."""
    place = st.integers(0, max(size - 1, 0))
    length = st.integers(1, max(size // 4, 1))
    kinds = {
        "flip": st.tuples(place, st.integers(0, 7)),
        "cut": st.tuples(place, length),
        "end": st.tuples(place),
        "insert": st.tuples(place, st.sampled_from(TOKENS)),
        "replace": st.tuples(place, st.sampled_from(TOKENS)),
        "double": st.tuples(place, length),
        "move": st.tuples(place, length, place),
        "fill": st.tuples(place, length, st.sampled_from([0, 32, 255])),
    }
    chosen = draw(st.lists(st.sampled_from([*kinds, "replace", "replace", "insert"]), min_size=1, max_size=4))
    return [_edit(kind, draw(kinds[kind])) for kind in chosen]


def _edit(kind: str, given: Sequence[object]) -> Edit:
    """A change, which says what it is when it is shown."""

    def apply(content: bytes) -> bytes:
        return CHANGES[kind](content, *given)

    apply.__qualname__ = f"{kind}{tuple(given)!r}"[:200]
    return apply


def _flip(content: bytes, place: int, bit: int) -> bytes:
    return content[:place] + bytes(byte ^ 1 << bit for byte in content[place : place + 1]) + content[place + 1 :]


def _replace(content: bytes, place: int, token: bytes) -> bytes:
    """Put a token in the place of a word or number."""
    start = end = min(place, len(content))
    while start > 0 and content[start - 1 : start].isalnum() | (content[start - 1 : start] in (b".", b"-")):
        start -= 1
    while end < len(content) and content[end : end + 1].isalnum() | (content[end : end + 1] in (b".", b"-")):
        end += 1
    return content[:start] + token + content[end:]


def _move(content: bytes, place: int, length: int, to: int) -> bytes:
    rest = content[:place] + content[place + length :]
    return rest[:to] + content[place : place + length] + rest[to:]


CHANGES: dict[str, Callable[..., bytes]] = {
    "flip": _flip,
    "cut": lambda content, place, length: content[:place] + content[place + length :],
    "end": lambda content, place: content[:place],
    "insert": lambda content, place, token: content[:place] + token + content[place:],
    "replace": _replace,
    "double": lambda content, place, length: content[: place + length] + content[place:],
    "move": _move,
    "fill": lambda content, place, length, byte: content[:place] + bytes([byte]) * length + content[place + length :],
}
