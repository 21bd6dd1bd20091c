"""What changes the networks of a recipe for the better: ``python -m benchmarks.measurements.networks --help``.

Validation errors of the source's own properties, each variant on the same splits; what is no better here has no reason
to be in a recipe. Every training is written when it is there, so that a run that is interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.cells.worker import provenance
from benchmarks.measurements.tools import say
from moe_mat.files import data_folder, write_text
from moe_mat.pretrain import NetworkTraining, SourceRecipe, pretrain, read_source_recipe

RECIPES = Path(__file__).parents[2] / "experts" / "recipes"
RESULTS = Path(__file__).parents[1] / "networks"
PHYSICS = ("symmetry", "packing", "ionic", "polar_springs")
POTENTIAL = "sevennet"
AS_IT_IS = "as it is"

Errors = dict[str, float]


def variants(training: NetworkTraining) -> dict[str, NetworkTraining]:
    """The networks of a recipe, and what was tried in their place."""
    below = training.trunk
    return {
        AS_IT_IS: training,
        "without SevenNet": replace(training, trunk=tuple(tag for tag in below if not tag.startswith(POTENTIAL))),
        "with physics": replace(training, trunk=(*below, *PHYSICS)),
        "dropout 0.2": replace(training, dropout=0.2),
        "weight decay 0.1": replace(training, weight_decay=0.1),
    }


def measure(recipe: SourceRecipe, training: NetworkTraining, *, data: Path) -> Errors:
    """Train networks.

    Args:
        recipe: Its seed is that of split and training.
        training: In the place of that of the recipe.
        data: Folder of the source's file.

    Returns:
        Property to validation error, of the logarithm where that is learned.
    """
    with tempfile.TemporaryDirectory() as folder:
        tried = replace(recipe, networks=training)
        *_, predictions = pretrain(tried, data=data, output=folder, runs=Path(folder) / "runs", device="cpu")
    names, metrics = training.targets, predictions.metrics
    of_target: Mapping[str, Any] = metrics if len(names) > 1 else {names[0]: metrics}
    return {name: found.get("validation_log_mae", found["validation_mae"]) for name, found in of_target.items()}


def table(found: Mapping[str, Mapping[str, Errors]], targets: Sequence[str]) -> str:
    """Error as it is, and the change by each variant with its standard error over the splits that both have.

    Args:
        found: Variant to seed to errors.
        targets: Rows; the last one is their mean.
    """
    today, others = found[AS_IT_IS], [name for name in found if name != AS_IT_IS]
    rows = {target: [f"{fmean(errors[target] for errors in today.values()):.3g}"] for target in targets}
    rows["mean"] = [""]
    for name in others:
        splits = [(errors, today[seed]) for seed, errors in found[name].items() if seed in today]
        changes = {target: [100 * (new[target] / old[target] - 1) for new, old in splits] for target in targets}
        changes["mean"] = [fmean(of_split) for of_split in zip(*changes.values(), strict=True)]
        for row, values in changes.items():
            error = f" ± {stdev(values) / len(values) ** 0.5:.1f}" if len(values) > 1 else ""
            rows[row].append(f"{fmean(values):+.1f}{error} %")
    lines = [f"| property | {' | '.join([AS_IT_IS, *others])} |", f"|---|{'---:|' * (1 + len(others))}"]
    lines += [f"| {row.replace('_', ' ')} | {' | '.join(cells)} |" for row, cells in rows.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="name of a file in experts/recipes")
    parser.add_argument("--variants", nargs="+", help="to compare with the recipe; by default all")
    parser.add_argument("--groups", nargs="+", help="groups of properties; by default all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of splits and trainings")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args(arguments)
    recipe = read_source_recipe(RECIPES / f"{options.recipe}.yaml")
    if recipe.networks is None:
        parser.error(f"recipe {recipe.name} has no networks")
    groups = {name: targets for name, targets in recipe.networks.groups.items() if name in (options.groups or [name])}
    tried = variants(replace(recipe.networks, groups=groups))
    if unknown := {*(options.groups or [])} - {*groups} | {*(options.variants or [])} - {*tried}:
        parser.error(f"recipe {recipe.name} has no {', '.join(sorted(unknown))}")
    targets = tried[AS_IT_IS].targets
    path = options.output / f"{recipe.name}.json"
    found = json.loads(path.read_text())["errors"] if path.exists() else {}
    compared = [name for name in tried if name in [AS_IT_IS, *(options.variants or tried)]]
    for seed, name in product(map(str, options.seeds), compared):
        of_seed = found.setdefault(name, {})
        if not {*targets} <= {*of_seed.get(seed, {})}:
            of_seed[seed] = measure(replace(recipe, seed=int(seed)), tried[name], data=data_folder() / "pretrain")
            say(f"{recipe.name}, {name}, seed {seed}: {of_seed[seed]}")
            write_text(path, json.dumps({"recipe": recipe.name, "errors": found, **provenance()}, indent=1) + "\n")
    say(table({name: {seed: found[name][seed] for seed in map(str, options.seeds)} for name in compared}, targets))
    return 0


if __name__ == "__main__":
    sys.exit(main())
