"""Where commands are disturbed: toy data, what undisturbed runs make of them, and folders to disturb them in."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from chaos import toys
from chaos.contents import Contents
from chaos.forked import Job
from chaos.runs import Ended, run
from chaos.tally import Finding
from chaos.toys import Command

AT_ONCE = 2

Point = TypeVar("Point")


@dataclass
class Scene:
    """Toy data, commands over them, and what these leave when nothing disturbs them.

    Attributes:
        base: Folder of everything.
        temporary: Folder of temporary files: on another file system, where there is one, as on a cluster.
        commands: By name.
        whole: Name of a command to what it leaves.
        undisturbed: Name of a command to how it ends.
    """

    base: Path
    temporary: Path
    commands: dict[str, Command] = field(default_factory=dict)
    whole: dict[str, Contents] = field(default_factory=dict)
    undisturbed: dict[str, Ended] = field(default_factory=dict)

    @classmethod
    def of(cls, base: Path, temporary: Path) -> Scene:
        """Write the data, and run each command once."""
        scene = cls(base, temporary)
        toys.write_data(base)
        first = scene.place("undisturbed-fit")
        scene._run_undisturbed(toys.fit(base), first)
        shutil.copy(first.work / toys.CHECKPOINTS / "best.ckpt", base / "model.ckpt")
        scene.commands = toys.commands(base)
        others = [one for name, one in scene.commands.items() if name != "fit"]
        both(lambda one: scene._run_undisturbed(one, scene.place(f"undisturbed-{one.name}")), others)
        return scene

    def _run_undisturbed(self, command: Command, place: Place) -> None:
        ended = run(place.job(command, counted=True))
        assert ended.status == 0, ended.err
        assert [path for path in place.temporary.iterdir()] == []
        (self.whole[command.name],) = command.outcomes(place.work)
        # Counting takes time, and the first run of a command imports what the server has not.
        seconds = run(self.place(f"{place.folder.name}-again").job(command)).seconds
        self.undisturbed[command.name] = replace(ended, seconds=seconds)

    def place(self, name: str, *, on: Path | None = None) -> Place:
        """A new folder to run a command in.

        Args:
            name: Of the folder.
            on: Folder that has it; by default that of the scene.
        """
        return Place((on or self.base / "places") / name, self.base / "logs" / name, self.temporary / name)


@dataclass(frozen=True)
class Place:
    """Folders of the runs of one point.

    Attributes:
        folder: To work in, and the cache.
        logs: What the runs said.
        temporary: Of temporary files.
        number: Counts the runs.
    """

    folder: Path
    logs: Path
    temporary: Path
    number: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        for path in (self.work, self.logs, self.temporary):
            path.mkdir(parents=True)

    @property
    def work(self) -> Path:
        """The folder that the command runs in."""
        return self.folder / "work"

    def job(self, command: Command, *more: str, **settings: Any) -> Job:
        """A run here.

        Args:
            command: Which.
            more: Further arguments.
            settings: See `Job`.
        """
        known = {"folder": self.work, "cache": self.folder / "cache", "log": self.logs / f"run{next(self.number)}"}
        return Job(command.program, command.arguments + more, temporary=self.temporary, **(known | settings))

    def leave(self, findings: Sequence[Finding]) -> None:
        """Remove the folders, unless there is something to look at."""
        if not findings:
            for path in (self.folder, self.logs, self.temporary):
                shutil.rmtree(path)


def both(action: Callable[[Point], Any], points: Iterable[Point]) -> list[Any]:
    """Do something at all points, some at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(action, points))
