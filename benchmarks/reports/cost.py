"""What a million crystals cost: by tier, by expert, by number of atoms and of labels; from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.reports.document import Document, Picture, Table
from benchmarks.reports.style import GRID, colour, drawn

MILLION = 1_000_000
# Cores of what people have.
LAPTOP, NODE = 2, 64
# Of the cluster that nobody here has: GPUs, and cores beside each.
GPUS, CORES_OF_A_GPU = 8, 16
# Atoms of the crystals by which tiers are compared.
USUAL_ATOMS = 8


@dataclass(frozen=True)
class Tier:
    """What was measured of a tier, as the JSON files of `benchmarks.speed` have it.

    Attributes:
        experts: Crystals a second of each, alone.
        atoms: Seconds by number of atoms.
    """

    experts: Mapping[str, Any]
    atoms: Mapping[str, Any]

    @property
    def usual(self) -> Mapping[str, Any]:
        """What was measured of crystals of about `USUAL_ATOMS`."""
        point: Mapping[str, Any] = min(self.atoms["points"], key=lambda one: abs(one["atoms"] - USUAL_ATOMS))
        return point

    @property
    def seconds(self) -> float:
        """Of a usual crystal, on one core."""
        return float(self.usual["seconds_of_networks"] + self.usual["seconds_of_the_rest"])

    @property
    def share_of_networks(self) -> float:
        """Of the time of a usual crystal; the rest stays on the CPU where there is a GPU."""
        return float(self.usual["seconds_of_networks"] / self.seconds)


def build(
    tiers: Mapping[str, Tier], *, scaling: Mapping[str, Any], labels: Mapping[str, Any], figure: Path
) -> Document:
    """The tables and the picture.

    Args:
        tiers: by name.
        scaling: seconds of a fit by number of crystals and experts.
        labels: the same by head, up to many labels.
        figure: PNG file.
    """
    document = Document("Cost")
    document.add(
        f"Embedding a million crystals of {USUAL_ATOMS} atoms or so, from the seconds of one on one core; cores "
        "share nothing but the disk. With GPUs, what stays on the CPU is taken for all there is, which no network can "
        f"be faster than: {GPUS} GPUs with {CORES_OF_A_GPU} cores each, calculated and never run."
    )
    document.add(_by_tier(tiers))
    document.add((2, "By number of atoms"))
    document.add(
        "Crystals of the Materials Project on one core; where the time an atom rises, it is not linear any more."
    )
    document.add(_by_size(tiers))
    draw(tiers, scaling=scaling, labels=labels, path=figure)
    document.add(Picture(figure, "Seconds a crystal by its atoms, and of a fit by its labels and experts."))
    document.add((2, "Each expert alone"))
    rates = {tag: one for tier in tiers.values() for tag, one in tier.experts["experts"].items()}
    alone = sorted(rates.items(), key=lambda item: item[1]["crystals_per_second"])
    document.add(
        Table(
            ["expert", "crystals/s", "peak memory, MiB"],
            [[f"`{tag}`", f"{one['crystals_per_second']:.0f}", str(one["peak_memory_mib"])] for tag, one in alone],
        )
    )
    return document


def _by_tier(tiers: Mapping[str, Tier]) -> Table:
    header = [
        "tier",
        "experts",
        "crystals/s and core",
        f"{LAPTOP} cores",
        f"{NODE} cores",
        "share of networks",
        f"{GPUS} GPUs, {GPUS * CORES_OF_A_GPU} cores",
    ]
    rows = []
    for name, tier in tiers.items():
        seconds, share = MILLION * tier.seconds, tier.share_of_networks
        on_gpus = seconds * (1 - share) / (GPUS * CORES_OF_A_GPU)
        rows.append(
            [
                f"`{name}`",
                str(len(tier.experts["experts"])),
                f"{1 / tier.seconds:.0f}",
                _clock(seconds / LAPTOP),
                _clock(seconds / NODE),
                f"{share:.0%}",
                _clock(on_gpus),
            ]
        )
    return Table(header, rows)


def _by_size(tiers: Mapping[str, Tier]) -> Table:
    names = ("s a crystal", "ms an atom", f"a million on {NODE} cores")
    rows = []
    for points in zip(*(tier.atoms["points"] for tier in tiers.values()), strict=True):
        rows.append([f"{points[0]['atoms']:.0f}"])
        for point in points:
            seconds = point["seconds_of_networks"] + point["seconds_of_the_rest"]
            rows[-1] += [f"{seconds:.3f}", f"{1000 * seconds / point['atoms']:.1f}", _clock(seconds * MILLION / NODE)]
    return Table(["atoms", *(f"{tier}: {name}" for tier in tiers for name in names)], rows)


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


@drawn
def draw(
    tiers: Mapping[str, Tier], *, scaling: Mapping[str, Any], labels: Mapping[str, Any], path: Path
) -> tuple[Figure, Path]:
    """Three panels: seconds a crystal by atoms, seconds of a fit by labels, and by experts."""
    figure = Figure(figsize=(10.0, 3.2), layout="constrained")
    by_atoms, by_labels, by_experts = figure.subplots(1, 3)
    for number, (name, tier) in enumerate(tiers.items()):
        points = tier.atoms["points"]
        sizes = [one["atoms"] for one in points]
        total = [one["seconds_of_networks"] + one["seconds_of_the_rest"] for one in points]
        by_atoms.plot(sizes, total, color=colour(number), marker="o", markersize=4, label=name)
        rest = [one["seconds_of_the_rest"] for one in points]
        by_atoms.plot(sizes, rest, color=colour(number), linestyle=":", label=f"{name}, without networks")
    heads = groupby(sorted(labels["points"], key=lambda one: (one["method"], one["labels"])), lambda one: one["method"])
    for number, (head, of_head) in enumerate(heads):
        points = [one for one in of_head if "processor_seconds" in one]
        _line(by_labels, [(one["labels"], one["processor_seconds"]) for one in points], number, head)
    n_most = max(one["crystals"] for one in scaling["points"])
    of_most = sorted((one["experts"], one["seconds"]) for one in scaling["points"] if one["crystals"] == n_most)
    _line(by_experts, of_most, 0, f"kernel head, {n_most} labels")
    by_atoms.set(xscale="log", yscale="log", xlabel="atoms", ylabel="seconds a crystal, one core")
    by_labels.set(xscale="log", yscale="log", xlabel="labels", ylabel="processor seconds of a fit")
    by_experts.set(xscale="log", xlabel="experts", ylabel="seconds of a fit", ylim=(0, None))
    for axes in (by_atoms, by_labels, by_experts):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=GRID, linewidth=0.8)
        axes.legend(frameon=False, fontsize=8)
    return figure, path


def _line(axes: Axes, points: Sequence[tuple[float, float]], number: int, label: str) -> None:
    axes.plot(*zip(*points, strict=True), color=colour(number), marker="o", markersize=4, label=label)
