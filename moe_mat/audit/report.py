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

from moe_mat.audit.exposure import UnlistedSet
from moe_mat.audit.matching import FLAGS, Overlap, rows_left
from moe_mat.audit.quantities import COMPUTED_FROM, is_related
from moe_mat.files.whole import write_text

# Column of the verdicts for rows that remain, see `rows_left`.
COLUMNS = {"leak-free": "leak_free", "leak-free by formula": "leak_free_by_formula", "new formulas": "new_formula"}


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
    def unlisted(self) -> list[UnlistedSet]:
        """The sources whose crystals are not known one by one."""
        return list(dict.fromkeys(source for one in self.overlaps for source in one.exposure.unlisted))

    @property
    def possibly(self) -> bool:
        """Whether some expert may have learned the label from crystals that are not known one by one."""
        return any(one.possibly for one in self.overlaps)

    def shown(self) -> list[RenderableType]:
        """For a screen: what all have seen in a line, then each group, what is left of each part, what words mean."""
        place = f"the test rows of {len(self.parts)} splits" if len(self.parts) > 1 else next(iter(self.parts))
        count = f"{self.counted.sum()} crystals in {place}"
        heading = f"\n[bold]{escape(self.title)}[/bold]: {escape(count)}; label: {self.quantity}\n"
        lines = [*self._meanings(), "", *self._learned()]
        return [
            heading,
            Text(self._in_short()),
            self._seen_table(),
            self._left_table(),
            *(Text(line) for line in lines),
        ]

    def summary(self) -> dict[str, object]:
        """What each group of experts has seen, as plain data."""
        groups = [
            {
                "experts": one.experts,
                "sources": [source.dataset for source in one.exposure.known],
                "quantities": one.exposure.quantities,
                "not_known": {source.source: source.quantities for source in one.exposure.unlisted},
                "label_possibly_learned": one.possibly,
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

    def _by_any(self, flag: str) -> np.ndarray:
        """What some expert has seen ``[n]``, by one of `FLAGS`."""
        return np.any([getattr(one, flag) for one in self.overlaps], axis=0)

    def _in_short(self) -> str:
        total = self.counted.sum()
        counts = {flag: (self._by_any(flag) & self.counted).sum() for flag in FLAGS}
        of = {flag: f"{count} ({_percent(count, total)})" for flag, count in counts.items()}
        told = f"{self.quantity}, or what it follows from," if COMPUTED_FROM.get(self.quantity) else self.quantity
        possibly = f" Potentials may have learned it from more{self._marks(possibly=True)}." if self.possibly else ""
        return (
            f"By structure, experts were trained on {of['crystal']} of these crystals, and learned {told} from "
            f"{of['crystal_with_label']}. By formula, on {of['formula']}, and from {of['formula_with_label']}."
            f"{possibly}"
        )

    def _marks(self, sources: Sequence[UnlistedSet] | None = None, *, possibly: bool = False) -> str:
        """The numbers of sources, as they are listed below the tables."""
        shown = self.unlisted if sources is None else sources
        numbers = [self.unlisted.index(one) + 1 for one in shown if not possibly or one.may_tell(self.quantity)]
        return "".join(f" ({number})" for number in numbers)

    def _seen_table(self) -> Table:
        widths = {"same\ncrystal": 8, "with\nlabel": 8, "same\nformula": 8, "with\nlabel ": 8}
        if self.errors:
            widths["MAE\nwithout"] = 7
        numbers = (Column(n, justify="right", no_wrap=True, min_width=width) for n, width in widths.items())
        table = Table(Column("experts", overflow="fold"), *numbers, box=SIMPLE_HEAD, pad_edge=False)
        for one in sorted(self.overlaps, key=lambda one: (not one.exposure.known, not one.exposure.unlisted)):
            others = f" +{len(one.experts) - 1}" if len(one.experts) > 1 else ""
            table.add_row(f"{one.experts[0]}{others}{self._marks(one.exposure.unlisted)}", *self._seen_by(one))
        table.add_section()
        counts = [_share((self._by_any(flag) & self.counted).sum(), self.counted.sum()) for flag in FLAGS]
        unsure = [any(one.exposure.unlisted for one in self.overlaps), self.possibly] * 2
        mae = [_number(self.errors.mae(self.counted & ~self._by_any("crystal")))] if self.errors else []
        table.add_row("all of them", *(f"{c} +?" if more else c for c, more in zip(counts, unsure, strict=True)), *mae)
        return table

    def _seen_by(self, one: Overlap) -> list[str]:
        """The cells of a group of experts."""
        if not one.exposure.known and not one.exposure.unlisted:
            return ["-"] * 4
        if not one.exposure.known:
            return ["?", "?" if one.possibly else "0"] * 2
        counted = self.counted
        cells = [_share((getattr(one, flag) & counted).sum(), counted.sum()) for flag in FLAGS]
        cells[:2] = [("~" if one.estimated else "") + cell for cell in cells[:2]]
        cells[1::2] = [f"{cell} +?" if one.possibly else cell for cell in cells[1::2]]
        return cells + ([_number(self.errors.mae(counted & ~one.crystal))] if self.errors else [])

    def _left_table(self) -> Table:
        """A row a part, and below it the errors on what is left of it."""
        left = {"rows": np.ones(len(self.ids), dtype=bool), **rows_left(self.overlaps)}
        table = Table("", *(Column(name, justify="right") for name in left), box=SIMPLE_HEAD, pad_edge=False)
        at_most = ["≤ " if self.possibly and kind.startswith("leak-free") else "" for kind in left]
        for part, rows in self.parts.items():
            kept = [self._inside(rows) & one for one in left.values()]
            shares = [str(len(rows)), *(_share(one.sum(), len(rows)) for one in kept[1:])]
            table.add_row(escape(part), *(sign + share for sign, share in zip(at_most, shares, strict=True)))
            if self.errors:
                table.add_row("  MAE", *(_number(self.errors.mae(one)) for one in kept))
        return table

    def _meanings(self) -> list[str]:
        sources = COMPUTED_FROM.get(self.quantity)
        also = f" (or {', '.join(sources)}, from which it follows)" if sources else ""
        lines = [
            "same crystal: a training crystal of the experts fits by structure; same formula: one has that formula",
            f"with label: they learned {self.quantity}{also} from it",
            "leak-free: no expert learned the label from the same crystal",
            "leak-free by formula: no expert learned the label from any crystal of the same formula",
            "new formulas: no expert learned anything from a crystal of the same formula",
            "A monolayer has the formula of its bulk parent, which no comparison of structures finds: for layers, and "
            "polymorphs, read the columns of the formula",
        ]
        if any(not one.exposure.known for one in self.overlaps):
            lines.append("?: it is not known which crystals they were trained on; -: they have no training targets")
        if self.unlisted:
            lines.append("(1), +?: and crystals that are not known one by one, of the sources at the end; not counted")
        if self.possibly:
            lines.append(f"≤: at most, because{self._marks(possibly=True)} may have told {self.quantity}")
        if related := self._related():
            lines.append(
                f"related, and not counted: {related} was learned from{self._marks(self._with_related())}, of which "
                f"{self.quantity} is a second derivative"
            )
        if reasons := list(dict.fromkeys(reason for one in self.overlaps for reason in one.estimated)):
            lines.append(
                f"~: estimated from size of cell and volume, because in {self.sources} {', '.join(reasons)}. Name the "
                "folder with these files by --sources, and structures will be compared"
            )
        return lines

    def _with_related(self) -> list[UnlistedSet]:
        return [one for one in self.unlisted if any(is_related(name, self.quantity) for name in one.quantities)]

    def _related(self) -> str:
        names = {name for one in self._with_related() for name in one.quantities if is_related(name, self.quantity)}
        return ", ".join(sorted(names))

    def _learned(self) -> list[str]:
        lines = []
        for one in self.overlaps:
            sources = [f"{source.dataset}: {', '.join(source.quantities)}" for source in one.exposure.known]
            sources += [self._marks([source]).strip() for source in one.exposure.unlisted]
            text = f"trained on {'; '.join(sources)}" if sources else "no training targets"
            lines += [", ".join(one.experts), f"    {text}"]
        if self.unlisted:
            lines.append(
                "which crystals of these sources were trained on is not known one by one, but what was learned:"
            )
        return lines + [f"   {self._marks([one])} {one}" for one in self.unlisted]

    def _verdicts(self) -> pd.DataFrame:
        """A row a crystal."""
        n, left = len(self.ids), rows_left(self.overlaps)
        inside = {name: self._inside(rows) for name, rows in self.parts.items()}
        rows = pd.DataFrame({"material_id": list(self.ids)})
        rows["parts"] = [", ".join(name for name, flags in inside.items() if flags[row]) for row in range(n)]
        for name in FLAGS:
            rows[f"same_{name}"] = self._by_any(name)
        for kind, column in COLUMNS.items():
            rows[column] = left[kind]
        for name in FLAGS:
            rows[f"same_{name}_by"] = [
                ", ".join(tag for one in self.overlaps if getattr(one, name)[row] for tag in one.experts)
                for row in range(n)
            ]
        rows["label_possibly_learned"] = self.possibly
        if self.errors is not None:
            rows["absolute_error"] = self.errors.values
        return rows


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4g}"


def _share(count: int, total: int) -> str:
    return f"{count} {_percent(count, total)}" if count else "0"


def _percent(count: int, total: int) -> str:
    return f"{count / total:.0%}" if count >= 0.005 * total or not count else "<1%"
