"""What is compared where nothing is named."""

from __future__ import annotations

from torch import Tensor, equal

from moe_mat.experts import DESCRIPTORS as KNOWN
from moe_mat.mixture.settings import MixtureSettings, Transform
from moe_mat.mixture.transforms import TargetTransform

NETWORKS = ["jarvis_*", "mp_*"]
DESCRIPTORS = [*KNOWN, "layer_stack"]
# None of them takes an encoder that the tier ``default`` does not have.
EXPERTS: list[object] = ["light", [*DESCRIPTORS, *NETWORKS], DESCRIPTORS]
PERCEPTRON: dict[str, list[object]] = {
    "hidden": [(128, 128), (32,)],
    "gate": ["crystal"],
    "dropout": [0.0, 0.3],
    "learning_rate": [1e-3, 1e-2],
}


def usual_values(base: MixtureSettings, targets: Tensor) -> dict[str, list[object]]:
    """Experts, heads, transforms and gates that are worth comparing with a configuration.

    Experts are compared only where they are the tier ``default``: who names others has a reason.

    Args:
        base: The configuration; its head is named.
        targets: ``[n, n_targets]``, NaN where there is no value.
    """
    values: dict[str, list[object]] = {}
    if base.experts == MixtureSettings.experts:
        values["experts"] = EXPERTS
    values["head"] = ["mlp"] if base.head != "mlp" else ["kernel"]
    values["target_transform"] = _transforms(base, targets)
    values["n_gates"] = [1, 3]
    return values | PERCEPTRON


def _transforms(base: MixtureSettings, targets: Tensor) -> list[object]:
    """Maps of the targets that are possible, and others than the base's."""
    own, others = _functions(base.target_transform, base.targets, targets), list[object]()
    kinds: tuple[Transform, ...] = ("standardise", "log", "asinh")
    for kind in kinds:
        try:
            functions = _functions(kind, base.targets, targets)
        except ValueError:  # a logarithm of what is not positive
            continue
        if not equal(functions, own):
            others.append(kind)
    return others


def _functions(kind: Transform, names: list[str], targets: Tensor) -> Tensor:
    """Which function each target gets ``[n_targets]``."""
    transform = TargetTransform(kind, names)
    transform.fit(targets)
    return transform.function
