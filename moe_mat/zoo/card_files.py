"""Card files: YAML that fits ``experts/card.schema.json``."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml

import moe_mat.experts
from moe_mat.files.documents import parse_yaml, summary


class CardError(ValueError):
    """A card that is not valid, not there, or does not fit its weights."""


def zoo_folder() -> Path:
    """The folder of the cards and weights that come with the package."""
    return Path(str(files(moe_mat.experts)))


def card_path(tag: str, folder: Path) -> Path:
    """Where the card of an expert is that others of a folder name: in that folder, or else in the package."""
    beside = folder / f"{tag}.yaml"
    return beside if beside.exists() else zoo_folder() / beside.name


def tag_of_file(path: Path) -> str:
    """The tag of an expert that is made from a file: its name, with ``_`` for what a tag cannot hold.

    Example:
        >>> tag_of_file(Path("mp e-form.pth.tar"))
        'mp_e-form'
    """
    stem = re.sub(r"(\.pth)?\.tar$|\.[A-Za-z]+$", "", path.name)
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).lstrip("_.-")


def parse_card_file(path: Path, text: str) -> dict[str, Any]:
    """The content of a card file.

    Args:
        path: The file, for messages and the tag.
        text: What stands in it.

    Raises:
        CardError: When it is not YAML, does not fit the schema, or has another tag; names the file and the field.
    """
    try:
        content = parse_yaml(text)
    except yaml.YAMLError as error:
        raise CardError(f"cannot read the expert card {path}: {error}") from error
    check_card_content(content, path)
    if content["tag"] != path.stem:
        raise CardError(f"the expert card {path} has the tag {content['tag']!r}: name the file {content['tag']}.yaml")
    return content


def check_card_content(content: Any, path: Path) -> None:
    """Check the content of a card file against the schema.

    Raises:
        CardError: When it does not fit; names the file and the field.
    """
    problems = [_problem(error, content) for error in _validator().iter_errors(content)]
    if problems:
        raise CardError(f"the expert card {path} is not valid: {summary(problems)}")


def _problem(error: jsonschema.ValidationError, content: Any) -> str:
    if error.validator == "unevaluatedProperties":
        schema = _validator().schema
        kind = schema["$defs"]["network" if {"trunk", "network"} & set(content) else "encoder"]
        strange = sorted(map(str, set(content) - set(schema["properties"]) - set(kind["properties"])))
        return f"{', '.join(strange)}: not of {kind['title']}"
    place = error.json_path.removeprefix("$").removeprefix(".")
    return f"{place}: {error.message}" if place else error.message


@lru_cache(maxsize=1)
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((zoo_folder() / "card.schema.json").read_text()))
