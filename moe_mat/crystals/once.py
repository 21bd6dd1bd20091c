"""What several encoders need of a crystal is computed once, while that crystal is prepared for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

from pymatgen.core import Structure

Result = TypeVar("Result")

_remembered: ContextVar[dict[tuple[Callable[..., Any], int], tuple[Structure, Any]] | None] = ContextVar(
    "remembered", default=None
)


@contextmanager
def one_crystal() -> Iterator[None]:
    """Remember, to the end of the outermost block, what `once_a_crystal` functions say of each structure.

    Structures are known by identity: nobody may change one within the block.
    """
    if _remembered.get() is not None:
        yield
        return
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def once_a_crystal(compute: Callable[[Structure], Result]) -> Callable[[Structure], Result]:
    """Compute once for each structure within `one_crystal`, and each time elsewhere.

    Results are shared: nobody may change them.
    """

    @wraps(compute)
    def once(structure: Structure) -> Result:
        remembered = _remembered.get()
        if remembered is None:
            return compute(structure)
        key = (compute, id(structure))
        if key not in remembered:
            remembered[key] = (structure, compute(structure))  # kept, so that no other structure takes its id
        result: Result = remembered[key][1]
        return result

    return once
