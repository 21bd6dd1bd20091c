"""What the leakage audit found, as tables on the screen and as files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from moe_mat.audit.matching import FLAGS, Overlap, rows_left
from moe_mat.audit.quantities import COMPUTED_FROM
from moe_mat.files.whole import write_text


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Absolute errors of predictions ``[n]``, NaN where there is none."""

    values: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Row numbers of the crystals that have a prediction."""
        return np.flatnonzero(np.isfinite(self.values))

    def mae(self, rows: np.ndarray) -> float:
        """The mean over some rows ``[n]``; NaN where none of them has a prediction."""
        chosen = self.values[rows & np.isfinite(self.values)]
        return float(chosen.mean()) if len(chosen) else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class AuditReport:
    """An audit of n crystals.

    Attributes:
        title: What was audited.
        quantity: What is predicted of the crystals.
        ids: Their names.
        parts: Name of a part to its row numbers; what experts have seen is counted in the rows of all parts together.
        overlaps: What was found, for each group of experts that learned the same.
        sources: The folder where the sources' files were looked for.
        errors: Of predictions, if there are any.
    """

    title: str
    quantity: str
    ids: Sequence[str]
    parts: Mapping[str, np.ndarray]
    overlaps: Sequence[Overlap]
    sources: Path
    errors: Errors | None = None

    @property
    def counted(self) -> np.ndarray:
        """Which crystals are in some part ``[n]``."""
        return self._inside(np.concatenate(list(self.parts.values())))

    @property
    def unknown(self) -> list[str]:
        """The sources whose crystals are not known."""
        return list(dict.fromkeys(name for one in self.overlaps for name in one.exposure.unknown))

    def shown(self) -> list[RenderableType]:
        """For a screen: what each group has seen, what is left of each part, and what the words mean."""
        place = f"the test rows of {len(self.parts)} splits" if len(self.parts) > 1 else next(iter(self.parts))
        count = f"{self.counted.sum()} crystals in {place}"
        heading = f"\n[bold]{escape(self.title)}[/bold]: {escape(count)}; label: {self.quantity}\n"
        lines = [*self._meanings(), "", *self._learned()]
        return [heading, self._seen_table(), self._left_table(), *(Text(line) for line in lines)]

    def summary(self) -> dict[str, object]:
        """What each group of experts has seen, as plain data."""
        groups = [
            {
                "experts": one.experts,
                "sources": [source.dataset for source in one.exposure.known],
                "quantities": one.exposure.quantities,
                "not_known": one.exposure.unknown,
                "estimated": one.estimated,
                **{
                    f"same_{name}": int(getattr(one, name)[self.counted].sum()) if one.exposure.known else None
                    for name in FLAGS
                },
            }
            for one in self.overlaps
        ]
        counted = int(self.counted.sum())
        return {"data": self.title, "quantity": self.quantity, "crystals_counted": counted, "experts": groups}

    def write(self, path: Path) -> None:
        """Write a verdict on every crystal: a CSV file, or JSON, which repeats the counts of each group of experts."""
        rows = self._verdicts()
        if path.suffix == ".csv":
            write_text(path, rows.to_csv(index=False))
        else:
            content = {**self.summary(), "crystals": json.loads(rows.to_json(orient="records"))}
            write_text(path, json.dumps(content, indent=1))

    def _inside(self, rows: np.ndarray) -> np.ndarray:
        return np.isin(np.arange(len(self.ids)), rows)

    def _seen_table(self) -> Table:
        widths = {"same\ncrystal": 8, "with\nlabel": 8, "same\nformula": 8, "with\nlabel ": 8}
        if self.errors:
            widths["MAE\nwithout"] = 7
        numbers = (Column(n, justify="right", no_wrap=True, min_width=width) for n, width in widths.items())
        table = Table(Column("experts", overflow="fold"), *numbers, box=SIMPLE_HEAD, pad_edge=False)
        counted, unknown = self.counted, self.unknown
        for one in sorted(self.overlaps, key=lambda one: (not one.exposure.known, not one.exposure.unknown)):
            marks = [f"({unknown.index(source) + 1})" for source in one.exposure.unknown]
            others = [f"+{len(one.experts) - 1}"] if len(one.experts) > 1 else []
            name = " ".join([one.experts[0], *others, *marks])
            if not one.exposure.known:
                table.add_row(name, *["?" if one.exposure.unknown else "-"] * 4)
                continue
            cells = [_share(getattr(one, flag)[counted].sum(), counted.sum()) for flag in FLAGS]
            cells[:2] = [("~" if one.estimated else "") + cell for cell in cells[:2]]
            mae = [_number(self.errors.mae(counted & ~one.crystal))] if self.errors else []
            table.add_row(name, *cells, *mae)
        return table

    def _left_table(self) -> Table:
        left = {"rows": np.ones(len(self.ids), dtype=bool), **rows_left(self.overlaps)}
        maes = ["MAE", *(f"MAE, {name}" for name in rows_left(self.overlaps))] if self.errors else []
        table = Table("", *(Column(name, justify="right") for name in (*left, *maes)), box=SIMPLE_HEAD, pad_edge=False)
        for part, rows in self.parts.items():
            kept = [self._inside(rows) & one for one in left.values()]
            counts = [str(len(rows)), *(_share(one.sum(), len(rows)) for one in kept[1:])]
            table.add_row(
                escape(part), *counts, *([_number(self.errors.mae(one)) for one in kept] if self.errors else [])
            )
        return table

    def _meanings(self) -> list[str]:
        sources = COMPUTED_FROM.get(self.quantity)
        also = f" (or {', '.join(sources)}, from which it is computed)" if sources else ""
        lines = [
            "same crystal: a training crystal of the experts fits by structure; same formula: one has that formula",
            f"with label: they learned {self.quantity}{also} from it",
            "leak-free: no expert learned the label from the same crystal",
            "new formulas: no expert learned anything from a crystal of the same formula",
        ]
        if any(not one.exposure.known for one in self.overlaps):
            lines.append("?: it is not known which crystals they were trained on; -: they have no training targets")
        if reasons := list(dict.fromkeys(reason for one in self.overlaps for reason in one.estimated)):
            lines.append(
                f"~: estimated from size of cell and volume, because in {self.sources} {', '.join(reasons)}. Name the "
                "folder with these files by --sources, and structures will be compared"
            )
        return lines

    def _learned(self) -> list[str]:
        lines, unknown = [], self.unknown
        for one in self.overlaps:
            sources = [f"{source.dataset}: {', '.join(source.quantities)}" for source in one.exposure.known]
            sources += [f"({unknown.index(name) + 1})" for name in one.exposure.unknown]
            text = f"trained on {'; '.join(sources)}" if sources else "no training targets"
            lines += [", ".join(one.experts), f"    {text}"]
        if unknown:
            lines.append("not known crystal by crystal, and not counted anywhere above:")
        return lines + [f"    ({number}) {name}" for number, name in enumerate(unknown, start=1)]

    def _verdicts(self) -> pd.DataFrame:
        """A row a crystal."""
        n, left = len(self.ids), rows_left(self.overlaps)
        inside = {name: self._inside(rows) for name, rows in self.parts.items()}
        rows = pd.DataFrame({"material_id": list(self.ids)})
        rows["parts"] = [", ".join(name for name, flags in inside.items() if flags[row]) for row in range(n)]
        for name in FLAGS:
            rows[f"same_{name}"] = np.any([getattr(one, name) for one in self.overlaps], axis=0)
        rows["leak_free"], rows["new_formula"] = left["leak-free"], left["new formulas"]
        rows["same_crystal_by"] = [
            ", ".join(tag for one in self.overlaps if one.crystal[row] for tag in one.experts) for row in range(n)
        ]
        if self.errors is not None:
            rows["absolute_error"] = self.errors.values
        return rows


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4g}"


def _share(count: int, total: int) -> str:
    share = f"{count / total:.0%}" if count >= 0.005 * total else "<1%"
    return f"{count} {share}" if count else "0"
