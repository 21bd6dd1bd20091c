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


def table(found: Mapping[str, Sequence[Errors]]) -> str:
    """Error as it is, and the change by each variant with its standard error over the splits.

    Args:
        found: Variant to errors, one a split.
    """
    others = [name for name in found if name != AS_IT_IS]
    lines = [f"| property | {' | '.join([AS_IT_IS, *others])} |", f"|---|{'---:|' * (1 + len(others))}"]
    today = found[AS_IT_IS]
    for target in today[0]:
        cells = [f"{fmean(errors[target] for errors in today):.3g}"]
        for name in others:
            changes = [100 * (new[target] / old[target] - 1) for new, old in zip(found[name], today, strict=False)]
            error = f" ± {stdev(changes) / len(changes) ** 0.5:.1f}" if len(changes) > 1 else ""
            cells.append(f"{fmean(changes):+.1f}{error} %")
        lines.append(f"| {target.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="name of a file in experts/recipes")
    parser.add_argument("--variants", nargs="+", help="some of them; by default all")
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
    path = options.output / f"{recipe.name}.json"
    found = json.loads(path.read_text())["errors"] if path.exists() else {}
    for seed in options.seeds:
        for name in options.variants or tried:
            of_seed = found.setdefault(name, {})
            if str(seed) not in of_seed:
                of_seed[str(seed)] = measure(replace(recipe, seed=seed), tried[name], data=data_folder() / "pretrain")
                say(f"{recipe.name}, {name}, seed {seed}: {of_seed[str(seed)]}")
                write_text(path, json.dumps({"recipe": recipe.name, "errors": found, **provenance()}, indent=1) + "\n")
    say(table({name: list(of_seed.values()) for name, of_seed in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
