"""``moe-mat completion``: commands, options, experts and files, in a real shell."""

from __future__ import annotations

import subprocess

import pytest

from cli.own_runs import Run

TRIES = {
    ("f",): {"fit"},
    ("fit", "--model.hea"): {"--model.head", "--model.head_settings"},
    ("fit", "--targ"): {"--target"},
    ("fit", "--model.head", "k"): {"kernel"},
    ("tune", "--experts", "mag"): {"magpie"},
    ("experts", "v"): {"verify"},
    ("embed", "--device", "c"): {"cpu", "cuda"},
}


def test_bash_completes(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", "bash") == 0
    script = capsys.readouterr().out
    for words in TRIES:
        typed = " ".join(f"'{word}'" for word in ("moe-mat", *words))
        script += (
            f'\nCOMP_WORDS=({typed}); COMP_CWORD={len(words)}; COMPREPLY=(); _shtab_moe_mat moe-mat "{words[-1]}" '
            f'"{("moe-mat", *words)[-2]}"; echo "FOUND ${{COMPREPLY[*]}}"'
        )
    result = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    lines = [line.removeprefix("FOUND ").split() for line in result.stdout.splitlines() if line.startswith("FOUND")]
    assert dict(zip(TRIES, map(set, lines), strict=True)) == TRIES


def test_other_shells_have_one_or_are_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", "fish") == 1
    assert "there is for bash, zsh, tcsh" in capsys.readouterr().err
