"""Which experts have been trained on a crystal, or on one of its formula, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from moe_mat.audit import FLAGS, Overlap, group, match
from moe_mat.audit.quantities import QUANTITIES, find_quantity, quantity_of
from moe_mat.zoo.cards import ExpertCard

MOST_NAMED = 4
SEEN = tuple(f"same_{flag}" for flag in FLAGS)


@dataclass(frozen=True, eq=False)
class Seen:
    """What `seen_by_experts` found.

    Attributes:
        rows: A row for each crystal, target and expert: ``material_id``, ``target``, ``expert``, the quantities that
            it ``learned`` (its trunk included), and whether from the ``same_crystal``, there also what the target
            measures (``same_crystal_with_label``), from any crystal of the ``same_formula``, and there also that
            (``same_formula_with_label``); missing where that is not known. ``not_listed`` names sources that it has
            learned from as well, and of which it is not known one by one which crystals they have.
        notes: What must be known to read them.
    """

    rows: pd.DataFrame
    notes: tuple[str, ...]


def quantities_of(targets: Sequence[str], quantity: str | None, cards: Sequence[ExpertCard]) -> dict[str, str | None]:
    """What each target measures; ``None`` where its name does not tell.

    Args:
        targets: Their names.
        quantity: What all of them measure, where that is given.
        cards: Of the experts, which may have learned quantities of their own.

    Raises:
        ValueError: When there is no such quantity; names those that there are.
    """
    learned = {name for exposure in group(cards) for name in exposure.quantities}
    if quantity is not None:
        return dict.fromkeys(targets, find_quantity(quantity, known=learned))
    found = {target: quantity_of(target) for target in targets}
    return {target: name if name in QUANTITIES or name in learned else None for target, name in found.items()}


def seen_by_experts(
    structures: Sequence[Structure],
    ids: Sequence[str],
    cards: Sequence[ExpertCard],
    *,
    quantities: Mapping[str, str | None],
    sources: Path,
) -> Seen:
    """Compare crystals with those that experts were trained on, see docs/audit.md.

    Args:
        structures: n crystals.
        ids: Their names ``[n]``.
        cards: Of the experts.
        quantities: Of each target what it measures, see `quantities_of`.
        sources: Folder of the sources' files; without them, the same crystal is estimated from cell and volume.

    Raises:
        ValueError: When training crystals are damaged; names the file.
    """
    matches = match(structures, cards, sources=sources)
    order = {card.tag: row for row, card in enumerate(cards)}
    frames, notes, reasons, unlisted = [], list[str](), list[str](), dict[str, list[str]]()
    for target, quantity in quantities.items():
        for overlap in matches.overlaps(quantity or "other"):
            for frame in _of_overlap(overlap, ids, knows_quantity=quantity is not None):
                frames.append(frame.assign(target=target))
            reasons += [reason for reason in overlap.estimated if reason not in reasons]
            for one in overlap.exposure.unlisted:
                unlisted.setdefault(str(one), []).extend(overlap.experts)
        if quantity is None:
            notes.append(f"what {target} measures is not known, so neither is who has learned it: name the quantity")
    if reasons:
        notes.append(
            f"that a crystal is the same is estimated from cell and volume, because in {sources} {', '.join(reasons)}; "
            "name the folder with these files as sources, and structures are compared"
        )
    for source, tags in unlisted.items():
        several = some_of(list(dict.fromkeys(tags)))
        notes.append(f"{several} also learned from crystals that are not known one by one: {source}")
    rows = pd.concat(frames, ignore_index=True)
    rows["material_id"] = pd.Categorical(rows["material_id"], pd.Index(ids), ordered=True)
    rows["order"] = rows["expert"].map(order)
    rows = rows.sort_values(["material_id", "target", "order"], kind="stable", ignore_index=True)
    rows["material_id"] = rows["material_id"].astype(object)
    return Seen(rows[["material_id", "target", "expert", "learned", *SEEN, "not_listed"]], tuple(notes))


def some_of(tags: Sequence[str]) -> str:
    """A few of several experts by name, and the number of the others."""
    if len(tags) <= MOST_NAMED:
        return ", ".join(tags)
    return f"{', '.join(tags[: MOST_NAMED - 1])} and {len(tags) - MOST_NAMED + 1} others"


def _of_overlap(overlap: Overlap, ids: Sequence[str], *, knows_quantity: bool) -> Iterator[pd.DataFrame]:
    """A frame for each expert."""
    exposure = overlap.exposure
    of_listed = {f"same_{name}": pd.Series(getattr(overlap, name), dtype="boolean") for name in FLAGS}
    missing = pd.Series(pd.NA, index=range(len(ids)), dtype="boolean")
    for name in of_listed:
        nothing_listed = bool(exposure.unlisted) and not exposure.known
        has_label = name.endswith("with_label")
        if nothing_listed and (not has_label or overlap.possibly):
            of_listed[name] = missing
        if has_label and not knows_quantity and (exposure.known or exposure.unlisted):
            of_listed[name] = missing
    learned = [*exposure.quantities, *(name for one in exposure.unlisted for name in one.quantities)]
    unlisted = ", ".join(dict.fromkeys(one.source for one in exposure.unlisted))
    told = {"learned": ", ".join(dict.fromkeys(learned)), **of_listed, "not_listed": unlisted}
    for tag in overlap.experts:
        yield pd.DataFrame({"material_id": np.array(ids, dtype=object), "expert": tag, **told})
