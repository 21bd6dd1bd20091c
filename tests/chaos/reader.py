"""A process that reads one file after the other, as it is told, with five seconds and a gibibyte for each.

``python -m chaos.reader`` takes lines of JSON with ``kind`` and ``path``, and answers each with one of ``outcome``
(``read``, ``refused`` or ``failed``) and ``message``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from jsonargparse import ArgumentParser

from moe_mat.cli.configs import bound_configs
from moe_mat.cli.run_options import add_run_options
from moe_mat.crystals.checks import structure_problem
from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.readers import read_structures
from moe_mat.crystals.structures import structure_key
from moe_mat.encoders.descriptors.encoders import LocalEnvironmentEncoder
from moe_mat.zoo.cards import read_card

SECONDS = 5
BYTES = 2**30
ENCODER = LocalEnvironmentEncoder()


class TooLong(BaseException):
    """A file takes longer than it may."""


def read_crystals(path: Path) -> str:
    """Read a file of crystals, and describe what is accepted, as an encoder would."""
    structures, table = read_structures(path, targets=["gap"] if path.stem == "table" else [], on_error="skip")
    for structure in structures:
        assert structure_problem(structure) is None, structure
        try:
            ENCODER.prepare(structure)
        except UnsupportedCrystalError:
            continue
    refused = table.attrs["left_out"]
    unnamed = [one for one in refused if path.name not in one["source"] or not one["reason"]]
    assert not unnamed, unnamed
    if refused and not structures:
        raise ValueError(f"{path}: {refused[0]['reason']}")
    keys = " ".join(structure_key(one).hex() for one in structures)
    return f"{len(refused)} left out, {keys}, {table.to_csv()}"


def read_settings(path: Path) -> str:
    """Read a configuration of fit."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    add_run_options(parser)
    bound_configs(["--config", str(path)])
    try:
        return str(parser.parse_args(["--config", str(path)]))
    except argparse.ArgumentError as error:
        raise ValueError(f"{path}: {error}") from error


READERS: dict[str, Callable[[Path], str]] = {
    "crystals": read_crystals,
    "card": lambda path: str(read_card(path)),
    "config": read_settings,
}


def attempt(kind: str, path: Path) -> tuple[str, str]:
    """Read a file; returns outcome and what was read, or why not."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return "read", READERS[kind](path)
    except (ValueError, OSError) as error:
        named = path.name in str(error) and "MemoryError" not in str(error)
        return (
            ("refused", str(error))
            if named
            else ("failed", f"out of memory, or without the name of the file: {error!r}")
        )
    except TooLong:
        return "failed", "".join(traceback.format_exc().splitlines(keepends=True)[-12:])
    except BaseException:
        return "failed", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _bytes_of_data() -> int:
    """What this process has taken up to now; 0 where that is not known, and the limit is a little harder then."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:")), 0)


def _stop(number: int, frame: FrameType | None) -> None:
    raise TooLong


def main() -> None:
    """Answer until there are no more lines."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _stop)
    most = _bytes_of_data() + BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    for line in sys.stdin:
        asked = json.loads(line)
        outcome, message = attempt(asked["kind"], Path(asked["path"]))
        answers.write(json.dumps({"outcome": outcome, "message": message}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
