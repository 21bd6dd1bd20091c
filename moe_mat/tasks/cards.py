"""Task cards: what is predicted, how its rows are made, what shows that they are right, and what others reached."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from moe_mat.files import task_cards_folder
from moe_mat.files.documents import read_yaml
from moe_mat.tasks.evidence import Evidence
from moe_mat.tasks.recipe import TRANSFORMS, TaskRecipe


@dataclass(frozen=True, slots=True)
class Published:
    """A published test MAE: mean over splits, and the spread that the source gives with it."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Matbench:
    """The Matbench task with the same rows.

    Attributes:
        name: its name there.
        unit: of the raw target, in which it is scored.
        rows: how its rows relate to ours.
        mae: method -> MAE, mean over the folds.
    """

    name: str
    unit: str
    rows: str
    mae: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TaskCard:
    """One benchmark task.

    Attributes:
        name: also the name of the target column and of the files.
        title: for tables and plots.
        unit: of the raw property; the target is in this unit only where the transform is "none".
        quantity: what is measured or computed, in the words of `moe_mat.audit.quantities`.
        rows: published, rematched (same rows, some with another structure) or rebuilt (other rows: not comparable).
        fidelity: the same in words; every report repeats it.
        recipe: how the task is made from matminer's data.
        evidence: row count, target mean and standard deviation.
        published: method -> published test MAE, in the unit of the (transformed) target.
        source: where those are published.
        matbench: the same rows in Matbench, if there.
        path: the card's file.
    """

    name: str
    title: str
    unit: str
    quantity: str
    rows: Literal["published", "rematched", "rebuilt"]
    fidelity: str
    recipe: TaskRecipe
    evidence: Evidence
    published: Mapping[str, Published]
    source: str | None
    matbench: Matbench | None
    path: Path

    @property
    def comparable(self) -> bool:
        """Whether there are published numbers that belong to (nearly) the same rows."""
        return self.rows != "rebuilt" and bool(self.published)

    def to_raw(self, target: np.ndarray) -> np.ndarray:
        """Targets or predictions in the raw unit: the recipe's transform undone."""
        return TRANSFORMS[self.recipe.transform][1](target)


def read_task_card(path: Path) -> TaskCard:
    """The card in a YAML file.

    Raises:
        ValueError: it breaks the schema, or is named unlike its task; the message says where.
    """
    content = read_yaml(path, schema=task_cards_folder() / "task_card.schema.json", what="task card")
    if content["task"] != path.stem:
        raise ValueError(f"{path} is the card of {content['task']!r}; name the file like the task")
    published, matbench = content["published"] or {}, content["matbench"]
    return TaskCard(
        name=content["task"],
        title=content["title"],
        unit=content["unit"],
        quantity=content["quantity"],
        rows=content["rows"],
        fidelity=content["fidelity"],
        recipe=TaskRecipe.from_dict(content["recipe"]),
        evidence=Evidence(**content["evidence"]),
        published={method: Published(**mae) for method, mae in published.get("test_mae", {}).items()},
        source=published.get("source"),
        matbench=None if matbench is None else Matbench(**matbench),
        path=path,
    )


@dataclass(frozen=True)
class TaskCards:
    """The cards of a folder, each read when it is first asked for.

    Attributes:
        folder: of YAML files; by default that of the package.
    """

    folder: Path = field(default_factory=task_cards_folder)
    _read: dict[str, TaskCard] = field(default_factory=dict, compare=False, repr=False)

    def names(self, pattern: str = "*") -> list[str]:
        """The names of the tasks that match a shell pattern, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.yaml") if fnmatch.fnmatch(path.stem, pattern))

    def find(self, patterns: Sequence[str] = ("*",)) -> list[TaskCard]:
        """The cards of the tasks whose names match, each once.

        Raises:
            ValueError: a pattern matches none.
        """
        found: dict[str, TaskCard] = {}
        for pattern in patterns:
            names = self.names(pattern)
            if not names:
                raise self._no_task(pattern)
            found |= {name: self.load(name) for name in names}
        return list(found.values())

    def load(self, name: str) -> TaskCard:
        """The card of a task by its name.

        Raises:
            ValueError: there is no such task, or its card breaks the schema; the message says where.
        """
        if name not in self._read:
            if name not in self.names():
                raise self._no_task(name)
            self._read[name] = read_task_card(self.folder / f"{name}.yaml")
        return self._read[name]

    @property
    def matbench(self) -> dict[str, str]:
        """Name in Matbench -> our name of the task with the same rows."""
        cards = [self.load(name) for name in self.names()]
        return {card.matbench.name: card.name for card in cards if card.matbench is not None}

    def of(self, task: str) -> TaskCard:
        """The card of a task by its name here or in Matbench."""
        return self._read[task] if task in self._read else self.load(self.matbench.get(task, task))

    def unit(self, task: str) -> str:
        """Unit in which a task is scored: Matbench scores raw values, the publications transformed ones."""
        card = self.of(task)
        transform, unit = card.recipe.transform, card.unit
        if task != card.name or transform == "none":
            return unit
        return transform.replace("x", unit) if "x" in transform else transform if unit == "1" else f"{transform} {unit}"

    def _no_task(self, name: str) -> ValueError:
        close = difflib.get_close_matches(name, self.names(), n=3) or self.names()
        return ValueError(f"there is no task {name!r}; there is {', '.join(close)}")
