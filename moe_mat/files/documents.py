"""The one way to read a YAML file: it is there, is YAML and fits its schema, or the error names file and entry."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml


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
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
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
        raise error(f"the {what} {path} is not valid: {'; '.join(problems)}")


@lru_cache(maxsize=16)
def _validator(schema: Path) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
