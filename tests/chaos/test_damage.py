"""Files that are damaged: what reads them refuses them by name, or makes of them what it makes of the whole ones."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.contents import same
from chaos.disks import DAMAGES, damage
from chaos.runs import run
from chaos.scene import Place, Scene, both
from chaos.tally import Finding, Tried, note
from chaos.toys import CHECKPOINTS, Command
from chaos.witness import LAST_DIGITS, Witness

pytestmark = pytest.mark.slow

N_EACH = 2


def kinds() -> list[tuple[int, str]]:
    """Each kind of damage some times, numbered."""
    return list(enumerate(DAMAGES * N_EACH))


@contextlib.contextmanager
def restored(path: Path) -> Iterator[None]:
    """A file is as it was when the block ends."""
    content = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(content)


def check(witness: Witness, *more: str, named: Path, heals: bool = False) -> Tried:
    """Run a command over a damaged file.

    Args:
        witness: Of the command.
        more: Further arguments.
        named: The file, which a refusal must name.
        heals: Whether it must do without the file, and not refuse it.
    """
    ended = run(witness.place.job(witness.command, *more))
    findings = witness.left(ended) + witness.tidy()
    if ended.status != 0:
        findings += witness.refusal(ended, status=1, named=[named.name, named.stem])
    if heals and ended.status != 0:
        findings.append(Finding("lost", f"{witness.where}: {ended.err[-1500:]}"))
    witness.place.leave(findings)
    return Tried(ended.status != 0, findings)


def undisturbed(scene: Scene, name: str, place: Place) -> Place:
    """A copy of what an undisturbed run has left."""
    for folder in ("work", "cache"):
        shutil.copytree(
            scene.base / "places" / f"undisturbed-{name}" / folder, place.folder / folder, dirs_exist_ok=True
        )
    return place


def test_damaged_caches(scene: Scene) -> None:
    def use(point: tuple[int, str]) -> Tried:
        number, kind = point
        place = undisturbed(scene, "embed", scene.place(f"damaged-cache-{number}"))
        (path,) = (place.folder / "cache").glob("*.sqlite3")
        done = damage(path, random.Random(f"cache {number}"), kind=kind)
        witness = Witness(scene.commands["embed"], place, scene.whole["embed"], f"embed, {done}", LAST_DIGITS)
        return check(witness, named=path, heals=True)

    note("damaged cache", "embed", both(use, kinds()), stops=False)


def test_damaged_results(scene: Scene) -> None:
    def use(point: tuple[int, str]) -> Tried:
        number, kind = point
        chance = random.Random(f"result {number}")
        place = undisturbed(scene, "sweep", scene.place(f"damaged-result-{number}"))
        path = chance.choice(sorted(place.work.glob("results/*/*.json")))
        done = damage(path, chance, kind=kind)
        witness = Witness(scene.commands["sweep"], place, scene.whole["sweep"], f"sweep, {done}", LAST_DIGITS)
        return check(witness, named=path, heals=True)

    note("damaged result", "sweep", both(use, kinds()), stops=False)


def test_damaged_models(scene: Scene) -> None:
    def use(point: tuple[int, str]) -> Tried:
        number, kind = point
        place, command = scene.place(f"damaged-model-{number}"), scene.commands["predict"]
        path = place.folder / "damaged.ckpt"
        shutil.copy(scene.base / "model.ckpt", path)
        done = damage(path, random.Random(f"model {number}"), kind=kind)
        arguments = tuple(str(path) if one == str(scene.base / "model.ckpt") else one for one in command.arguments)
        witness = Witness(replace(command, arguments=arguments), place, scene.whole["predict"], f"predict, {done}")
        return check(witness, named=path)

    note("damaged checkpoint", "predict", both(use, kinds()))


@pytest.mark.parametrize("file", ["toy.yaml", "toy.safetensors"])
def test_damaged_experts_of_a_model(file: str, scene: Scene) -> None:
    path, tried = scene.base / "zoo" / file, []
    for number, kind in kinds():
        with restored(path):
            place = undisturbed(scene, "predict", scene.place(f"damaged-{file}-{number}"))
            (place.work / "predictions.csv").unlink()
            done = damage(path, random.Random(f"{file} {number}"), kind=kind)
            witness = Witness(scene.commands["predict"], place, scene.whole["predict"], f"predict, {done}")
            tried.append(check(witness, named=path))
    note(f"damaged {'card' if path.suffix == '.yaml' else 'weights'}", "predict", tried)


@pytest.mark.parametrize("name", ["fit", "pretrain"])
def test_damaged_checkpoints_are_not_gone_on_from(name: str, scene: Scene) -> None:
    command = scene.commands[name]
    found: dict[str, Callable[[Path], list[Path]]] = {
        "fit": lambda work: [work / CHECKPOINTS / "last.ckpt"],
        "pretrain": lambda work: sorted(work.glob("runs/**/*.ckpt")),
    }

    def use(point: tuple[int, str]) -> Tried:
        number, kind = point
        chance, place = random.Random(f"{name} {number}"), scene.place(f"damaged-{name}-{number}")
        unfinished(scene, command, place)
        path = chance.choice(found[name](place.work))
        done = damage(path, chance, kind=kind)
        witness = Witness(command, place, scene.whole[name], f"{name}, {done}")
        return check(witness, *command.resume(place.work), named=path)

    note("damaged checkpoint", name, both(use, kinds()))


def unfinished(scene: Scene, command: Command, place: Place) -> None:
    """What a run leaves that has trained and not told its results."""
    undisturbed(scene, command.name, place)
    for outcome in command.outcomes(place.work):
        assert same(outcome, scene.whole[command.name])
    for pattern in ("experts/*", "runs/*/*/*.csv", "runs/*/*/*.json", "runs/*/*/*.png"):
        for path in place.work.glob(pattern):
            path.unlink()
