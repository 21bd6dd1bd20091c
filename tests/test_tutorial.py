"""The tutorial does what it says: its commands, run in order in an empty folder, print what it shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moe_mat.cli.main import main

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.M | re.S)
FRAME = re.compile("[\u2500-\u257f]")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
# Last digits of embeddings differ between machines.
TOLERANCE = 0.1


def steps() -> Iterator[tuple[str, str, str | None]]:
    """Language, code, and what it puts out, if the page says that."""
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    for (language, code), (after, output) in zip(found, [*found[1:], ("", "")], strict=True):
        if language != "text":
            yield language, code, output if after == "text" else None


def lines(text: str) -> list[str]:
    """Lines without the frames of tables and without what is aligned."""
    bare = (" ".join(FRAME.sub(" ", line).split()) for line in text.splitlines())
    return [line for line in bare if line]


def same(shown: str, printed: str) -> bool:
    """Whether two lines have the same words, and numbers that are nearly the same."""
    numbers = [[float(number) for number in NUMBER.findall(line)] for line in (shown, printed)]
    return NUMBER.sub("0", shown) == NUMBER.sub("0", printed) and numbers[1] == pytest.approx(numbers[0], rel=TOLERANCE)


def test_the_tutorial_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for language, code, shown in steps():
        if language == "python":
            exec(code, names)
        else:
            for command in code.replace("\\\n", " ").splitlines():
                program, *arguments = shlex.split(command, comments=True)
                assert (program, main(arguments)) == ("moe-mat", 0), command
        printed = capsys.readouterr().out
        left = iter(lines(printed))
        for line in lines(shown or ""):
            assert line == "..." or any(same(line, one) for one in left), f"{line!r} is not in\n{printed}"
    for picture in re.findall(r"!\[.*?\]\(tutorial/(.*?)\)", PAGE.read_text(encoding="utf-8")):
        assert list(tmp_path.rglob(picture)), picture
