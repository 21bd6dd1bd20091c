"""Distributed pretraining: two processes share every batch and make the experts that one makes, embedding once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytorch_lightning.utilities import rank_zero_only
from safetensors.torch import load_file
from torch import Tensor
from toy_binaries import RECIPE, run, write_binaries, write_recipe

from moe_mat.pretrain.batches import Share, SourceBatch, SourceBatches, share_out
from moe_mat.pretrain.networks import PropertyNetworks
from moe_mat.pretrain.processes import Processes
from moe_mat.pretrain.settings import NetworkTraining
from moe_mat.zoo.find import find_cards


def test_a_batch_is_shared_out_whole() -> None:
    sizes = torch.randint(1, 20, (50,), generator=torch.Generator().manual_seed(0))
    rows = torch.randperm(50)[:31]
    assert [share.rows.tolist() for share in share_out(rows, sizes, n_processes=1)] == [rows.tolist()]
    assert share_out(rows, sizes, n_processes=1)[0].weight == 1.0
    shares = share_out(rows, sizes, n_processes=4)
    assert torch.equal(torch.cat([share.rows for share in shares]), rows)
    assert sum(share.weight for share in shares) == pytest.approx(4)
    totals = torch.tensor([int(sizes[share.rows].sum()) for share in shares])
    assert totals.max() - totals.min() < 40
    few = share_out(rows[:2], sizes, n_processes=4)
    assert [len(share.rows) for share in few] == [1] * 4
    assert [share.weight for share in few] == [2, 2, 0, 0]


def test_the_mean_gradient_of_the_shares_is_that_of_the_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(20, 5, generator=generator), torch.randn(20, 2, generator=generator)
    targets[3:9, 1] = torch.nan
    training = NetworkTraining(trunk=("any",), groups={"all": ("a", "b")}, body=(8,), tower=(4,), dropout=0.0)
    module = PropertyNetworks(inputs, targets, training=training, seed=0)
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]

    def gradients(shares: list[Share]) -> list[Tensor]:
        found = []
        for share in shares:
            module.zero_grad()
            batch = SourceBatch(inputs[share.rows], targets[share.rows], share.weight)
            module.training_step(batch, 0).backward()
            found.append([parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None])
        return [torch.stack(of_one).mean(0) for of_one in zip(*found, strict=True)]

    rows, sizes = torch.arange(20), torch.arange(1, 21)
    whole = gradients(share_out(rows, sizes, n_processes=1))
    for n_processes in (2, 3):
        for found, expected in zip(gradients(share_out(rows, sizes, n_processes=n_processes)), whole, strict=True):
            torch.testing.assert_close(found, expected)


def test_more_processes_see_the_same_batches() -> None:
    class Of:
        def __init__(self, rank: int, count: int) -> None:
            self.global_rank, self.world_size = rank, count

    def batches(count: int) -> list[list[int]]:
        loaders = []
        for rank in range(count):
            rows = {"train": torch.arange(37)}
            data = SourceBatches(
                lambda rows: rows, torch.zeros(37, 1), rows, sizes=torch.ones(37), batch_size=8, seed=3
            )
            data.trainer = Of(rank, count)  # type: ignore[assignment]
            loaders.append(data.train_dataloader())
        return [torch.cat([share.inputs for share in shares]).tolist() for shares in zip(*loaders, strict=True)]

    assert len(batches(1)) == 5
    assert batches(2) == batches(3) == batches(1)


def test_one_process_computes_and_the_others_read(tmp_path: Path) -> None:
    path, values = tmp_path / "runs" / "trunk.safetensors", torch.arange(6.0).view(2, 3)

    def never() -> Tensor:
        raise AssertionError("computed twice")

    assert Processes(1, True).once(path, lambda: values) is values
    assert not path.exists()
    assert Processes(2, True).once(path, lambda: values).equal(values)
    assert Processes(2, False).once(path, never).equal(values)
    assert Processes(2, True).once(path, never).equal(values)  # a run that goes on


def test_processes_are_those_of_lightning_and_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 0, raising=False)  # which Lightning sets for good
    assert Processes.of({"accelerator": "cpu"}) == Processes(1, True)
    assert Processes.of({"accelerator": "cpu", "devices": 2, "num_nodes": 3}) == Processes(6, True)
    monkeypatch.setenv("NODE_RANK", "1")
    assert Processes.of({"accelerator": "cpu", "devices": 2, "num_nodes": 3}) == Processes(6, False)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "GROUP_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    for name, value in {"MASTER_ADDR": "localhost", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "none"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NODE_RANK", "0")
    assert Processes.of({"accelerator": "cpu", "devices": 2}) == Processes(2, False)


def test_two_processes_make_the_experts_that_one_makes(tmp_path: Path) -> None:
    data = write_binaries(tmp_path)
    networks = RECIPE["networks"] | {"dropout": 0.0, "max_epochs": 4}
    recipe = write_recipe(tmp_path, networks=networks, cgcnn=RECIPE["cgcnn"] | {"max_epochs": 4})
    alone = run(recipe, data, tmp_path / "alone")
    together = tmp_path / "together"
    command = [sys.executable, "-m", "moe_mat", "pretrain", str(recipe), "--data", str(data), "--device", "cpu"]
    folders = ["--output", str(together / "zoo"), "--runs", str(together / "runs")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *folders, "--trainer.devices", "2"], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    made = {card.tag: card for card in find_cards(str(together / "zoo"))}
    assert made.keys() == alone.keys()
    for tag, card in alone.items():
        if tag.startswith("cgcnn"):  # on CPUs, each process normalises by its own share of a batch
            assert made[tag].metrics["validation_mae"] < card.metrics["validation_median_mae"]
            continue
        expected, found = (
            load_file(folder / "zoo" / f"{tag}.safetensors") for folder in (tmp_path / "alone", together)
        )
        for name, values in expected.items():
            torch.testing.assert_close(found[name], values, rtol=2e-3, atol=2e-4, msg=lambda m, n=name: f"{n}: {m}")
        assert made[tag].training["best_epoch"] == card.training["best_epoch"]
    assert len(list((together / "runs").glob("toy_networks-trunk-*.safetensors"))) == 1
