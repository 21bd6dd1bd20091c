"""Commands that run at the same time, with one cache, one output or one folder of results."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from chaos.runs import Ended, Run, run
from chaos.scene import Place, Scene
from chaos.tally import Finding, Tried, note
from chaos.toys import Command
from chaos.witness import LAST_DIGITS, Witness

pytestmark = pytest.mark.slow

N_TIMES = 3


def at_once(place: Place, commands: Sequence[Command], chance: random.Random) -> list[Ended]:
    """Start commands in one folder within a moment, and wait for all."""
    started = []
    for command in chance.sample(commands, len(commands)):
        started.append(Run(place.job(command)))
        started[-1].send(0, after=chance.uniform(0, 0.05))  # no signal: a pause
    return [one.end() for one in started]


@pytest.mark.parametrize("name", ["fit", "predict", "embed", "compose", "pretrain", "sweep"])
def test_a_command_twice_in_one_folder(name: str, scene: Scene) -> None:
    """One cache, one output, one folder of runs and of results; where files belong together, one of both may refuse."""
    command, chance, tried = scene.commands[name], random.Random(f"twice {name}"), []
    for number in range(N_TIMES):
        place = scene.place(f"{name}-twice-{number}")
        witness = Witness(command, place, scene.whole[name], f"{name} twice", tolerance=LAST_DIGITS)
        both = at_once(place, [command, command], chance)
        well = [ended for ended in both if name not in ("pretrain", "compose") or not ended.status]
        findings = [one for ended in well for one in [*witness.left(ended), *failed(ended, witness.where)]]
        refused = [ended for ended in both if ended not in well]
        findings += [one for ended in refused for one in witness.refusal(ended, named=["another process is writing"])]
        if not well:
            findings.append(Finding("lost", f"{witness.where}: both refuse"))
        findings += witness.tidy()
        before = witness.outcomes()
        findings += witness.repeated(before, run(place.job(command)))
        if name == "fit" and len(before) != 2:
            findings.append(Finding("lost", f"two fits at once have {len(before)} run folders"))
        place.leave(findings)
        tried.append(Tried(bool(refused), findings))
    note("twice at once", name, tried, stops=False)


@pytest.mark.parametrize("name", ["predict", "embed"])
def test_two_commands_with_one_output(name: str, scene: Scene) -> None:
    """The output is that of one of them, and not a mixture."""
    command, chance, tried = scene.commands[name], random.Random(f"output {name}"), []
    few = replace(command, arguments=tuple(one.replace("many.parquet", "own.parquet") for one in command.arguments))
    alone = scene.place(f"{name}-few")
    assert run(alone.job(few)).status == 0
    (of_few,) = few.outcomes(alone.work)
    for number in range(N_TIMES):
        place = scene.place(f"{name}-output-{number}")
        ended = at_once(place, [command, few], chance)
        witnesses = [
            Witness(command, place, whole, f"{name}, two outputs", tolerance=LAST_DIGITS)
            for whole in (scene.whole[name], of_few)
        ]
        findings = [one for each in ended for one in failed(each, f"{name}, two outputs")] + witnesses[0].tidy()
        if not any(witness.is_done() for witness in witnesses):
            findings.append(Finding("wrong", f"{place.work}: the output is that of none of both"))
        place.leave(findings)
        tried.append(Tried(False, findings))
    note("one output", name, tried, stops=False)


def failed(ended: Ended, where: str) -> list[Finding]:
    """A run that should have ended well."""
    return [Finding("unclear", f"{where}: ended with {ended.status}: {ended.err[-1500:]}")] * (ended.status != 0)


def test_all_commands_with_one_cache(scene: Scene) -> None:
    commands, tried = list(scene.commands.values()), []
    places = [scene.place(f"{command.name}-shared") for command in commands]
    cache = places[0].folder / "cache"
    started = [Run(place.job(one, cache=cache)) for one, place in zip(commands, places, strict=True)]
    for command, place, one in zip(commands, places, started, strict=True):
        witness = Witness(command, place, scene.whole[command.name], f"{command.name}, shared cache", LAST_DIGITS)
        ended = one.end()
        findings = witness.left(ended) + failed(ended, witness.where)
        again = run(place.job(command, cache=cache))  # by what the others have left there
        findings += witness.repeated(witness.outcomes(), again)
        if "damaged" in ended.err + again.err:
            findings.append(Finding("wrong", f"{witness.where}: the cache is damaged: {ended.err} {again.err}"))
        tried.append(Tried(False, findings))
    note("one cache", "all at once", tried, stops=False)
