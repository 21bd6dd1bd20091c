"""The one way to read a YAML file: it is there, is YAML and fits its schema, or the error names file and entry.

Nothing a file holds makes reading it take long: its size, its depth and what its aliases expand to are bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from moe_mat.files.compressed import read_text

MOST_CHARACTERS = 2**19
"""Of a YAML file; the largest that this package writes has 10,000."""

MOST_VALUES = 50_000
"""Of a YAML file, with those that aliases repeat."""

MOST_DEPTH = 50
"""Of lists in lists in a YAML file."""

_LONGEST_PLAIN = 10_000  # characters of what may be a number: 1:1:1:1 to any length is one, in base 60
_LONGEST_MESSAGE = 300
_MOST_PROBLEMS = 5

# The one in C where PyYAML has it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_yaml(text: str) -> None:
    """Make sure that a YAML text is of a size that a person would write, before it is made into objects.

    Raises:
        yaml.YAMLError: When it is too long, too deep, expands to too much by its aliases, or is no YAML.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"it holds more than {MOST_CHARACTERS} characters")
    sizes: dict[str, int] = {}
    open_values: list[list[Any]] = [[None, 0]]  # anchor and number of values of what is not closed yet
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_values.append([event.anchor, 1])
            if len(open_values) > MOST_DEPTH:
                raise yaml.YAMLError(f"it nests more than {MOST_DEPTH} lists or entries in each other")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_values.pop()
        elif isinstance(event, yaml.ScalarEvent):
            if event.implicit[0] and len(event.value) > _LONGEST_PLAIN:
                raise yaml.YAMLError(f"it has a value of {len(event.value)} characters without quotes")
            anchor, size = event.anchor, 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError(f"its alias *{event.anchor} stands for nothing, or for what it is in")
            anchor, size = None, sizes[event.anchor]
        else:
            continue
        if anchor is not None:
            sizes[anchor] = size
        open_values[-1][1] += size
        if open_values[-1][1] > MOST_VALUES:
            raise yaml.YAMLError(f"its aliases expand to more than {MOST_VALUES} values")


def parse_yaml(text: str) -> Any:
    """The content of a YAML text.

    Raises:
        yaml.YAMLError: When it is no YAML, or not of a size that a person would write.
    """
    check_yaml(text)
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        raise
    except Exception as error:  # PyYAML fails in many ways, as on a date that is none
        raise yaml.YAMLError(f"it cannot be read as YAML ({error!r})") from error


def read_yaml(
    path: Path, *, schema: Path | None = None, what: str = "file", error: type[ValueError] = ValueError
) -> Any:
    """The content of a YAML file.

    Args:
        path: The file.
        schema: JSON Schema that the content must fit; ``None`` for any content.
        what: What the file is, for messages.
        error: Raised when the file is missing, is not YAML or does not fit the schema; names file and entry.
    """
    try:
        content = parse_yaml(read_text(path, most=MOST_CHARACTERS))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as reason:
        raise error(f"cannot read the {what} {path}: {reason}") from reason
    if schema is not None:
        check_schema(content, path, schema=schema, what=what, error=error)
    return content


def check_schema(
    content: object, path: Path, *, schema: Path, what: str = "file", error: type[ValueError] = ValueError
) -> None:
    """Check what was read from a file, or is to be written to it, against a JSON Schema.

    Args:
        content: Plain data.
        path: The file.
        schema: JSON Schema.
        what: What the file is, for messages.
        error: Raised when the content does not fit; names file and entry.
    """
    problems = [f"{one.json_path.removeprefix('$.')}: {one.message}" for one in _validator(schema).iter_errors(content)]
    if problems:
        raise error(f"the {what} {path} is not valid: {summary(problems)}")


def summary(problems: Iterable[str]) -> str:
    """Problems in one line that can be read, whatever the file holds."""
    all_of_them = [one if len(one) <= _LONGEST_MESSAGE else f"{one[:_LONGEST_MESSAGE]} ..." for one in problems]
    more = len(all_of_them) - _MOST_PROBLEMS
    return "; ".join(all_of_them[:_MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


@lru_cache(maxsize=16)
def _validator(schema: Path) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
