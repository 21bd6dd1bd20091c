"""The page of costs: a million crystals by tier, from crystals a second and the share that a GPU would take over."""

import json
from pathlib import Path

import pytest

from benchmarks import cost

POINTS = [
    {"atoms": atoms, "seconds_of_networks": 0.03, "seconds_of_the_rest": 0.01 * atoms / 8, "peak_memory_mib": 500}
    for atoms in (8, 64)
]


def write(folder: Path) -> None:
    for tier, rate in (("light", 100.0), ("default", 10.0)):
        (folder / tier).mkdir()
        experts = {f"{tier}_expert": {"crystals_per_second": rate, "peak_memory_mib": 700}}
        (folder / tier / "experts.json").write_text(json.dumps({"crystals_per_second": rate, "experts": experts}))
        (folder / tier / "atoms.json").write_text(json.dumps({"points": POINTS}))
    fits = [{"crystals": 1000, "experts": n, "seconds": 5.0 * n} for n in (1, 2)]
    (folder / "scaling.json").write_text(json.dumps({"points": fits}))
    known = {"method": "kernel", "labels": 1000, "processor_seconds": 10.0}
    heads = [known, {"method": "kernel", "labels": 9, "refused": "no"}]
    (folder / "many_labels.json").write_text(json.dumps({"points": heads}))


def test_a_million_crystals_by_tier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cost.main(["--results", str(tmp_path)]) == 1
    assert "experts.json is not there" in capsys.readouterr().err
    write(tmp_path)
    assert cost.main(["--results", str(tmp_path)]) == 0
    text = (tmp_path / "cost.md").read_text()
    # A million times 0.04 s: 11.1 h, by cores; a quarter of them is not of networks, shared by 128 cores.
    assert "| `light` | 1 | 25 | 5.6 h | 10 min | 75% | 1 min |" in text
    assert "| `default` | 1 | 25 | 5.6 h | 10 min | 75% | 1 min |" in text
    # 40 ms a crystal of 8 atoms, 110 ms of 64.
    assert "| 8 | 0.040 | 5.0 | 10 min | 0.040 | 5.0 | 10 min |" in text
    assert "| 64 | 0.110 | 1.7 | 29 min | 0.110 | 1.7 | 29 min |" in text
    assert "| `default_expert` | 10 | 700 |" in text
    assert (tmp_path / "cost.png").stat().st_size > 1000
