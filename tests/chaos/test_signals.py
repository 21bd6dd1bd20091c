"""Commands that are killed, or asked to end, at random points: of their time, and between two changes of the disk."""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass, replace

import pytest

from chaos.runs import Ended, Run, run
from chaos.scene import Place, Scene, both
from chaos.tally import Finding, Tried, note
from chaos.toys import CHECKPOINTS, Command
from chaos.witness import Witness

pytestmark = pytest.mark.slow

N_POINTS = 20
COMMANDS = ("fit", "predict", "embed", "compose", "pretrain", "sweep")


@dataclass(frozen=True)
class Point:
    """When a run is disturbed.

    Attributes:
        number: Of the point.
        change: Before which change of the disk, counted from 1; or None.
        kind: Of that change.
        seconds: After how many seconds, where there is no change.
    """

    number: int
    change: int | None
    kind: str | None
    seconds: float

    def __str__(self) -> str:
        return f"after {self.seconds:.2f} s" if self.change is None else f"at change {self.change} ({self.kind})"


def points(command: str, number: signal.Signals, undisturbed: Ended) -> list[Point]:
    """Random points, the same in each run of the test: half of them in time, half of them between changes."""
    chance = random.Random(f"{command} {number.name}")
    kinds = sorted(set(undisturbed.changes))

    def change() -> int:
        kind = chance.choice(kinds)  # or most points would be statements of SQLite
        return chance.choice([place for place, one in enumerate(undisturbed.changes, 1) if one == kind])

    changes = [change() if place % 2 else None for place in range(N_POINTS)]
    seconds = [chance.uniform(0, 1.05) * undisturbed.seconds for _ in range(N_POINTS)]
    kind_of = dict(enumerate(undisturbed.changes, 1))
    where = zip(changes, map(kind_of.get, changes), seconds, strict=True)
    return [Point(place, *one) for place, one in enumerate(where)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda one: one.name)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_that_ends_at_any_point_loses_nothing(name: str, number: signal.Signals, scene: Scene) -> None:
    command, undisturbed = scene.commands[name], scene.undisturbed[name]
    found = both(lambda point: disturb(command, point, number, scene), points(name, number, undisturbed))
    note(number.name, name, found)


def disturb(command: Command, point: Point, number: signal.Signals, scene: Scene) -> Tried:
    """End a run at a point, look at what it left, and run it again."""
    place = scene.place(f"{command.name}-{number.name}-{point.number}")
    witness = Witness(command, place, scene.whole[command.name], f"{command.name}, {number.name} {point}")
    first = Run(place.job(command, at=point.change, signal=number))
    if point.change is None:
        first.send(number, after=point.seconds, group=command.ending == "group")
    ended = first.end()
    findings = witness.left(ended)
    if number == signal.SIGTERM and ended.status != 0:
        findings += witness.tidy()
        if ended.status != -signal.SIGTERM:  # with which it ends before the command has begun
            findings += witness.refusal(ended, status=128 + signal.SIGTERM)
    if command.name == "fit":
        findings += check_model(place, scene, where=witness.where)
    before = witness.outcomes()
    findings += witness.repeated(before, run(place.job(command, *command.resume(place.work))))
    place.leave(findings)
    return Tried(ended.status != 0, findings)


def check_model(place: Place, scene: Scene, *, where: str) -> list[Finding]:
    """The checkpoint of a fit that did not end is refused, or predicts what that of an undisturbed one does."""
    path = place.work / CHECKPOINTS / "best.ckpt"
    if not path.exists():
        return []
    command, other = scene.commands["predict"], scene.place(f"{place.folder.name}-model")
    arguments = tuple(str(path) if one == str(scene.base / "model.ckpt") else one for one in command.arguments)
    witness = Witness(replace(command, arguments=arguments), other, scene.whole["predict"], f"{where}, predict")
    ended = run(other.job(witness.command))
    findings = witness.left(ended)
    if ended.status != 0:
        findings += witness.refusal(ended, status=1, named=[path])
    other.leave(findings)
    return findings
