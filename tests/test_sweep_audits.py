"""The audits of a sweep: made once, made again when something has changed, and kept for other methods."""

import pytest
from toy_benchmark import toy_sweep, write_method
from toy_experts import cgcnn_expert
from toy_sources import trained_expert, write_crystals, write_training_crystals

from benchmarks.cells import audit_runs
from benchmarks.cells.audits import read_audit
from benchmarks.cells.results import is_finished, read_result
from moe_mat.audit import match
from moe_mat.tasks import TaskCards, read_task


@pytest.fixture
def toy(tmp_path, monkeypatch):
    return toy_sweep(tmp_path, monkeypatch)


@pytest.fixture
def audited(tmp_path):
    """Prepares experts that were trained on the first crystals of the toy tasks; gives what ``--methods`` takes."""

    def write(*, n: int = 10, target: str = "band_gap_pbe", with_source: bool = True) -> list[str]:
        task = read_task(TaskCards(tmp_path / "cards").load("toy_gap"), tmp_path / "data")
        crystals = {f"s{i}": one for i, one in enumerate(task.structures[:n])}
        write_training_crystals(
            tmp_path / "experts" / "toy.training_crystals.npz", crystals, values={target: [1.0] * n}
        )
        trained_expert(tmp_path / "experts", "seen", target=target)
        cgcnn_expert(tmp_path / "experts", "stranger")
        source = tmp_path / "data" / "pretrain" / "toy.parquet"
        if with_source:
            write_crystals(source, crystals)
        card = write_method(tmp_path, "used", kind="toy_benchmark:noisy_median", experts=["default"])
        return ["--methods", card, "--experts", str(tmp_path / "experts"), "--splits", "0", "--tasks", "toy_gap"]

    return write


def test_sweep_audits_its_tasks_once(toy, audited, tmp_path, capsys, monkeypatch):
    done = []
    monkeypatch.setattr(audit_runs, "match", lambda *given, **more: done.append(given) or match(*given, **more))
    options = audited()
    assert toy(*options) == 0
    audit = read_audit(tmp_path / "results", "toy_gap")
    task = read_task(TaskCards(tmp_path / "cards").load("toy_gap"), tmp_path / "data")
    assert audit.ids == [f"c{i}" for i in range(40)]
    formulas = [one.composition.reduced_formula for one in task.structures]
    seen = [name in formulas[:10] for name in formulas]
    assert audit.flags(["seen"], audit.ids, "formula").tolist() == seen
    # Crystals of one formula are one crystal here: they differ in volume alone.
    assert audit.left(["seen", "stranger"], audit.ids, "leak-free").tolist() == [not one for one in seen]
    assert audit.seen[audit.experts["stranger"]].unlisted
    assert audit.possibly(["stranger"])
    assert not audit.possibly(["seen"])
    assert toy(*options) == 0
    assert len(done) == 1
    assert toy(*audited(target="bulk_modulus_kv")) == 0
    assert len(done) == 2
    again = read_audit(tmp_path / "results", "toy_gap")
    assert again.flags(["seen"], again.ids, "crystal").tolist() == seen
    assert again.left(["seen"], again.ids, "leak-free").all()


def test_audit_without_sources_is_made_again_when_they_are_there(toy, audited, tmp_path):
    assert toy(*audited(with_source=False)) == 0
    (estimated,) = (one for one in read_audit(tmp_path / "results", "toy_gap").seen.values() if one.datasets)
    assert list(estimated.estimated) == ["toy.parquet is not there"]
    assert toy(*audited()) == 0
    (exact,) = (one for one in read_audit(tmp_path / "results", "toy_gap").seen.values() if one.datasets)
    assert not exact.estimated
    (tmp_path / "data" / "pretrain" / "toy.parquet").unlink()
    assert toy(*audited(with_source=False)) == 0
    (kept,) = (one for one in read_audit(tmp_path / "results", "toy_gap").seen.values() if one.datasets)
    assert kept == exact


def test_audit_keeps_the_experts_of_other_methods(toy, audited, tmp_path):
    options = audited()
    assert toy(*options) == 0
    (tmp_path / "more").mkdir()
    cgcnn_expert(tmp_path / "more", "other")
    options[options.index("--experts") + 1] = str(tmp_path / "more")
    assert toy(*options) == 0
    audit = read_audit(tmp_path / "results", "toy_gap")
    assert audit.knows(["seen", "stranger", "other"], audit.ids)


def test_expert_that_cannot_be_audited_is_named(toy, audited, tmp_path, capsys):
    options = audited()
    (tmp_path / "experts" / "toy.training_crystals.npz").write_bytes(b"PK rotten")
    assert toy(*options) == 1
    said = capsys.readouterr().err
    assert "toy_gap cannot be audited" in said
    assert "toy.training_crystals.npz is not a usable file of training crystals" in said
    assert is_finished(read_result(tmp_path / "results" / "used" / "toy_gap.0.0.json"))


@pytest.mark.parametrize("damage", ["cut", "edited"])
def test_damaged_audit_is_made_again(toy, audited, tmp_path, damage):
    options = audited()
    assert toy(*options) == 0
    path = tmp_path / "results" / "audit" / "toy_gap.json"
    whole = path.read_text()
    path.write_text(whole[:500] if damage == "cut" else whole.replace('"c1"', '"c0"'))
    assert read_audit(tmp_path / "results", "toy_gap") is None
    assert toy(*options) == 0
    assert path.read_text() == whole
