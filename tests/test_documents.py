"""YAML files and compressed ones: nothing in them makes reading take long, or much memory."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import yaml

from moe_mat.files.compressed import open_text, read_text
from moe_mat.files.documents import parse_yaml, read_yaml

LAUGHS = "a: &a [x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
BOMBS = {
    "aliases": (LAUGHS, "its aliases expand to more than 50000 values"),
    "itself": ("a: &a [*a]", r"alias \*a stands for nothing, or for what it is in"),
    "long": ("a: [" + "1, " * 300_000 + "1]", "holds more than 524288 characters"),
    "deep": ("a: " + "{b: " * 60 + "1" + "}" * 60, "nests more than 50"),
    "brackets": ("[" * 100_000, "depth|nests"),
    "number in base 60": ("a: " + "1:" * 60_000 + "1", "value of 120001 characters without quotes"),
    "number": ("a: " + "9" * 5000, ""),
    "list as a key": ("[1, 2]: 3\n? [a]\n: b", ""),
    "no date": ("a: 2024-99-99", ""),
    "no digit": ("a: !!int ''", ""),
    "code": ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_by_name(name: str, tmp_path: Path) -> None:
    content, message = BOMBS[name]
    (tmp_path / "bomb.yaml").write_text(content)
    with pytest.raises(ValueError, match=rf"(?s)cannot read the card .*bomb.yaml.*({message})"):
        read_yaml(tmp_path / "bomb.yaml", what="card")


def test_what_people_write_is_read() -> None:
    text = (
        "base: &base {rate: 0.1, when: 2024-02-29}\nother: {<<: *base, layers: [a, b]}\nlong: '" + "x" * 20_000 + "'\n"
    )
    assert parse_yaml(text) == yaml.safe_load(text)


def test_a_schema_s_complaint_stays_short(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object", "additionalProperties": {"type": "string"}}')
    (tmp_path / "bad.yaml").write_text("".join(f"key{i}: [{'word, ' * 200}]\n" for i in range(30)))
    with pytest.raises(ValueError, match=r"bad.yaml is not valid: .*; and 25 more") as found:
        read_yaml(tmp_path / "bad.yaml", schema=tmp_path / "schema.json")
    assert len(str(found.value)) < 2500


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A text that is 1,000 times smaller when compressed."""
    with gzip.open(tmp_path / "big.json.gz", "wb") as file:
        for _ in range(200):
            file.write(b"1234567," * 2**17)
    return tmp_path / "big.json.gz"


def test_archives_that_unpack_to_all_memory_are_refused(archive: Path) -> None:
    with open_text(archive) as stream, pytest.raises(OSError, match="unpacks to more than 100 times its size"):
        stream.read()
    with pytest.raises(OSError, match="holds more than 16777216 characters"):
        read_text(archive, most=2**24)


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"a line of text\n" * 1000)
    path = tmp_path / "a.txt.gz"
    for broken in (whole[:-9], whole[:30] + b"\xff" * 8 + whole[38:], b"no archive"):
        path.write_bytes(broken)
        with pytest.raises(OSError):  # noqa: PT011 - in the words of gzip and zlib
            read_text(path)
    path.write_bytes(whole)
    assert read_text(path) == "a line of text\n" * 1000
