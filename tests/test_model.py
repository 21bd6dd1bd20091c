"""The mixture under Lightning: what is learned, what stays frozen, what a checkpoint holds, and reference numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import Tensor
from toy_experts import cgcnn_expert

from moe_mat.crystals.datasets import load_quickstart
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.data import EmbeddingDataModule
from moe_mat.mixture.heads.gaussian_process import JITTER, GaussianProcess, squared_distances
from moe_mat.mixture.heads.last_convolution import partial_crystals
from moe_mat.mixture.module import MixtureOfExperts, gate_weights
from moe_mat.mixture.run_folder import RunReport, evaluate
from moe_mat.mixture.training import complete
from moe_mat.zoo.cards import CardError, ExpertCard
from moe_mat.zoo.experts import build_expert

HEADS = ("kernel", "mlp")
ROWS = {"train": torch.arange(50), "val": torch.arange(50, 65), "test": torch.arange(65, 80)}


@pytest.fixture
def cards(tmp_path: Path) -> list[ExpertCard]:
    """An expert of width 8, and one of width 6."""
    return [cgcnn_expert(tmp_path / "zoo", tag, width=width) for tag, width in (("useful", 8), ("noise", 6))]


def embeddings() -> Tensor:
    return torch.randn(80, 14, generator=torch.Generator().manual_seed(0))


def target_of(x: Tensor) -> Tensor:
    """A function of the first expert's embedding alone, positive and skewed, far from 1 in scale."""
    return 30 * (0.5 * x[:, 0] + 0.3 * x[:, 1] * x[:, 2].sign()).exp()


def synthetic(targets: Tensor | None = None, *, batch_size: int = 16) -> EmbeddingDataModule:
    x = embeddings()
    targets = target_of(x)[:, None] if targets is None else targets
    names = [f"crystal{row}" for row in range(80)]
    return EmbeddingDataModule(x, targets, ROWS, ids=names, batch_size=batch_size)


def new_model(cards: list[ExpertCard], **settings: Any) -> MixtureOfExperts:
    torch.manual_seed(0)
    return MixtureOfExperts(experts=[str(card.path) for card in cards], **settings)


def finish(model: MixtureOfExperts, data: EmbeddingDataModule, targets: list[str]) -> RunReport:
    before = complete(model, data, before_refit=lambda: evaluate(model, data, targets, parts=("train", "val")))
    return before.joined(evaluate(model, data, targets, parts=("test",)))


def fit(model: MixtureOfExperts, data: EmbeddingDataModule, folder: Path, *, epochs: int = 3) -> str:
    """Train; the path of the checkpoint of the last epoch."""
    pl.seed_everything(0)
    keep = ModelCheckpoint(folder, save_last=True, enable_version_counter=False)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    pl.Trainer(max_epochs=epochs, callbacks=[keep], accelerator="cpu", **quiet).fit(model, datamodule=data)
    model.eval()
    return keep.last_model_path


def predictions(model: MixtureOfExperts, data: EmbeddingDataModule, part: str = "test") -> Tensor:
    with torch.no_grad():
        return model.eval()(data.part(part))


# What is learned ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"head": "kernel"},
        {"head": "kernel", "target_transform": "standardise", "n_gates": 1},
        *({"head": "mlp", "target_transform": kind} for kind in ("auto", "none", "standardise", "log", "asinh")),
        *({"head": "mlp", "loss": loss} for loss in ("mse", "mae")),
        {"head": "mlp", "gate": "crystal", "top_k": 1, "orthogonality": 0.0, "load_balance": 0.1},
        {"head": "mlp", "hidden": (), "dropout": 0.0},
    ],
    ids=lambda settings: "-".join(f"{value}" for value in settings.values()),
)
def test_every_setting_learns_in_the_targets_unit(
    settings: dict[str, Any], cards: list[ExpertCard], tmp_path: Path
) -> None:
    data = synthetic()
    rate = {"learning_rate": 0.1 if settings.get("target_transform") == "none" else 0.02}
    model = new_model(cards, targets=["y"], **({} if settings["head"] == "kernel" else rate), **settings)
    fit(model, data, tmp_path, epochs=40)
    finish(model, data, ["y"])
    true = data.targets[ROWS["train"]]
    error = (predictions(model, data, "train") - true).abs().mean()
    assert error < 0.85 * (true - true.median()).abs().mean()


@pytest.mark.parametrize("head", HEADS)
def test_the_gate_finds_the_expert_that_knows(head: str, cards: list[ExpertCard], tmp_path: Path) -> None:
    data = synthetic()
    model = new_model(cards, targets=["y"], head=head)
    before = gate_weights(model, data.embeddings)
    fit(model, data, tmp_path, epochs=25)
    weights = gate_weights(model, data.embeddings)
    assert before["useful"] == pytest.approx(0.5, abs=0.02)
    assert weights["useful"] > 0.7
    assert sum(weights.values()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("gate", ["global", "crystal"])
def test_weights_sum_to_1_over_at_most_top_k_experts(gate: str, tmp_path: Path) -> None:
    cards = [cgcnn_expert(tmp_path / "zoo", f"expert{i}", width=2) for i in range(7)]
    data = synthetic()
    model = new_model(cards, targets=["y"], head="mlp", gate=gate, top_k=3, n_gates=2)
    fit(model, data, tmp_path)
    _, weights = model.head.embed(data.part("train", "test"))
    assert weights.shape == (65, 2, 7)
    torch.testing.assert_close(weights.sum(-1), torch.ones(65, 2))
    assert ((weights > 0).sum(-1) <= 3).all()
    assert (weights >= 0).all()


def test_a_crystal_gate_sends_crystals_to_different_experts(cards: list[ExpertCard], tmp_path: Path) -> None:
    x = embeddings()
    left = x[:, 0] > 0
    data = synthetic(torch.where(left, x[:, 1], x[:, 9])[:, None])  # the first expert knows half of them, and which
    model = new_model(cards, targets=["y"], head="mlp", gate="crystal", learning_rate=0.02, gate_learning_rate=0.05)
    fit(model, data, tmp_path, epochs=40)
    _, weights = model.head.embed(Batch(x[ROWS["train"]], None, []))
    of_first = weights[:, :, 0].mean(1)
    mask = left[ROWS["train"]]
    assert of_first[mask].mean() > of_first[~mask].mean() + 0.1


def test_load_balance_keeps_every_expert_in_use(cards: list[ExpertCard], tmp_path: Path) -> None:
    data, spread = synthetic(), []
    for strength in (0.0, 10.0):
        model = new_model(cards, targets=["y"], head="mlp", load_balance=strength)
        fit(model, data, tmp_path / str(strength), epochs=20)
        spread.append(float(np.std(list(gate_weights(model, data.embeddings).values()))))
    assert spread[1] < 0.2 * spread[0]


@pytest.mark.parametrize("head", HEADS)
def test_targets_with_gaps_are_learned_together(head: str, cards: list[ExpertCard], tmp_path: Path) -> None:
    y = target_of(embeddings())
    targets = torch.stack([y, 1e-3 * y], dim=1)
    targets[1::3, 1] = torch.nan
    data = synthetic(targets)
    model = new_model(
        cards, targets=["large", "small"], head=head, **({"learning_rate": 0.02} if head == "mlp" else {})
    )
    fit(model, data, tmp_path, epochs=40)
    report = finish(model, data, ["large", "small"])
    test = report.metrics[report.metrics["part"] == "test"].set_index("target")
    assert list(test["n"]) == [15, int(targets[ROWS["test"], 1].isfinite().sum())]
    assert (test["mae"] < test["median_mae"]).all()
    # What is missing cannot have had a say, and what is predicted needs no true value.
    assert predictions(model, data).isfinite().all()
    assert report.predictions["small_predicted"].notna().all()


def test_missing_values_do_not_reach_the_loss(cards: list[ExpertCard]) -> None:
    x = embeddings()
    targets = torch.stack([x[:, 0], x[:, 1]], dim=1)
    targets[:, 1] = torch.where(torch.arange(80) < 40, targets[:, 1], torch.nan)
    model = new_model(cards, targets=["a", "b"], head="mlp", dropout=0.0)
    model.transform.fit(targets)
    model.head.fit_constants(Batch(x, targets, []))
    whole, _ = model.head.loss(Batch(x, targets, []))
    whole.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    plain = model.head.loss(Batch(x, targets, []))[1]
    scaled = model.transform(targets)
    outputs = model.head.network(model.head.embed(Batch(x, None, []))[0])
    present = targets.isfinite()
    expected = torch.nn.functional.huber_loss(outputs[present], scaled[present])
    torch.testing.assert_close(plain, expected)


# What is reported -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("n_targets", [1, 2])
def test_metrics_are_those_of_scikit_learn(head: str, n_targets: int, cards: list[ExpertCard], tmp_path: Path) -> None:
    y = target_of(embeddings())
    targets = torch.stack([y, -2 * y + 5], dim=1)[:, :n_targets]
    if n_targets == 2:
        targets[::4, 1] = torch.nan
    data, names = synthetic(targets, batch_size=7), ["a", "b"][:n_targets]
    model = new_model(cards, targets=names, head=head)
    fit(model, data, tmp_path)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    (logged,) = pl.Trainer(accelerator="cpu", **quiet).test(model, datamodule=data, verbose=False)
    report = evaluate(model, data, names, parts=("test",)).metrics.set_index("target")
    predicted = predictions(model, data).numpy()
    maes = []
    for column, name in enumerate(names):
        true = targets[ROWS["test"], column].numpy()
        present = np.isfinite(true)
        true, ours = true[present], predicted[present, column]
        expected = {
            "mae": mean_absolute_error(true, ours),
            "rmse": root_mean_squared_error(true, ours),
            "r2": r2_score(true, ours),
        }
        for metric, value in expected.items():
            postfix = f"/{name}" if n_targets > 1 else ""
            assert logged[f"test_{metric}{postfix}"] == pytest.approx(value, rel=1e-4)
            assert report.loc[name, metric] == pytest.approx(value, rel=1e-4)
        train = targets[ROWS["train"], column]
        median = train[train.isfinite()].median().item()
        assert report.loc[name, "median_mae"] == pytest.approx(np.abs(true - median).mean(), rel=1e-4)
        maes.append(expected["mae"] / (train[train.isfinite()].std(correction=0).item() if n_targets > 1 else 1))
    assert logged["test_mae"] == pytest.approx(np.mean(maes), rel=1e-4)


def test_one_validation_row_is_enough(cards: list[ExpertCard], tmp_path: Path) -> None:
    data = synthetic()
    data.rows = {"train": torch.arange(6), "val": torch.tensor([6]), "test": torch.tensor([7])}
    model = new_model(cards, targets=["y"])
    fit(model, data, tmp_path)
    report = finish(model, data, ["y"]).metrics
    assert np.isfinite(report["mae"]).all()
    assert np.isnan(report["r2"].iloc[-1])


# What a checkpoint holds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("finished", [False, True])
def test_a_checkpoint_is_plain_data_and_predicts_the_same(
    head: str, finished: bool, cards: list[ExpertCard], tmp_path: Path
) -> None:
    data = synthetic()
    model = new_model(cards, targets=["y"], head=head)
    path = fit(model, data, tmp_path)
    if finished:
        finish(model, data, ["y"])
        assert model.trainer is not None
        model.trainer.save_checkpoint(path, weights_only=False)
    content = torch.load(path, weights_only=True)  # refuses anything but tensors and plain Python
    assert content["hyper_parameters"]["experts"] == [str(card.path.resolve()) for card in cards]
    if head == "kernel":
        assert len(content["state_dict"]["head.processes.0.support"]) == (65 if finished else 50)
    loaded = MixtureOfExperts.load_from_checkpoint(path, weights_only=True)
    batch = data.part("test")
    torch.testing.assert_close(predictions(loaded, data), predictions(model, data), rtol=0, atol=0)
    std, expected = loaded.head.std(batch), model.head.std(batch)
    if head == "kernel":
        torch.testing.assert_close(std, expected, rtol=1e-5, atol=0)
    assert gate_weights(loaded, data.embeddings) == gate_weights(model, data.embeddings)


def test_a_checkpoint_of_other_experts_is_refused(cards: list[ExpertCard], tmp_path: Path) -> None:
    path = fit(new_model(cards, targets=["y"]), synthetic(), tmp_path)
    cgcnn_expert(cards[0].path.parent, "useful", width=8, seed=1)
    with pytest.raises(CardError, match="other versions of these experts: useful"):
        MixtureOfExperts.load_from_checkpoint(path, weights_only=True)


# What stays frozen ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trainable", ["none", "last_convolution"])
def test_experts_are_byte_identical_after_a_fit(trainable: str, tmp_path: Path) -> None:
    cards = [cgcnn_expert(tmp_path / "zoo", f"expert{i}", seed=i) for i in range(2)]
    structures, table = load_quickstart()
    structures, experts = structures[:16], [build_expert(card) for card in cards]
    files = {path.name: path.read_bytes() for path in (tmp_path / "zoo").iterdir()}
    states = [{name: value.clone() for name, value in expert.state_dict().items()} for expert in experts]
    x = torch.from_numpy(np.concatenate([expert.embed(structures) for expert in experts], axis=1))
    data = EmbeddingDataModule(
        x,
        torch.tensor(table["bulk_modulus"].to_numpy()[:16, None], dtype=torch.float32),
        {"train": torch.arange(10), "val": torch.arange(10, 13), "test": torch.arange(13, 16)},
        ids=[str(row) for row in range(16)],
        partial=list(partial_crystals(experts, structures)) if trainable == "last_convolution" else None,
        batch_size=5,
    )
    model = new_model(cards, targets=["y"], head="mlp", width=None, trainable=trainable)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = fit(model, data, tmp_path / "run")
    after = model.state_dict()
    tuned = [name for name in after if "tuned.convolutions" in name]
    assert bool(tuned) == (trainable == "last_convolution")
    for kind in ("weight", "running_mean") if tuned else ():
        assert any((after[name] != before[name]).any() for name in tuned if name.endswith(kind))
    for expert, state in zip(experts, states, strict=True):
        assert not expert.training
        for name, value in expert.state_dict().items():
            torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    assert {path.name: path.read_bytes() for path in (tmp_path / "zoo").iterdir()} == files
    loaded = MixtureOfExperts.load_from_checkpoint(path, weights_only=True)
    torch.testing.assert_close(predictions(loaded, data), predictions(model, data), rtol=0, atol=0)


# The kernel head against references -----------------------------------------------------------------------------------


def head_with(lengths: list[float], signals: list[float], noise: float) -> GaussianProcess:
    """A kernel head with given length scales, variances and noise variance."""
    head = GaussianProcess(len(lengths))
    with torch.no_grad():
        head.log_inverse_length.copy_(-2 * torch.tensor(lengths).log())
        head.log_signal.copy_(torch.tensor(signals).log())
        head.log_noise.fill_(math.log(noise))
    return head


def crystals() -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Mixed embeddings of two gates for 40 training and 10 new crystals, and training targets."""
    generator = torch.Generator().manual_seed(1)
    mixed = [torch.randn(50, width, generator=generator) for width in (3, 2)]
    y = mixed[0][:, 0].sin() + 0.1 * torch.randn(50, generator=generator)
    return [x[:40] for x in mixed], [x[40:] for x in mixed], y[:40]


def test_one_gate_is_scikit_learns_gaussian_process() -> None:
    (train, _), (new, _), y = crystals()
    head = head_with([1.7], [0.8], 0.05)
    kernel = ConstantKernel(0.8) * Matern(1.7, nu=1.5)
    reference = GaussianProcessRegressor(kernel, alpha=0.05 + JITTER, optimizer=None).fit(train.numpy(), y.numpy())
    head.solve([train], y)
    mean, std = reference.predict(new.numpy(), return_std=True)
    np.testing.assert_allclose(head(head.to_support([new])).detach(), mean, atol=1e-4)
    np.testing.assert_allclose(
        head.std(head.to_support([new])).square(), std**2 + 0.05, atol=1e-4
    )  # of a new measurement

    ours = 40 * head.negative_log_likelihood([squared_distances(train, train)], y).item()
    prior = 0.5 * ((2 * math.log(1.7) / 1.5) ** 2 + (math.log(0.8) / 1.5) ** 2 + ((math.log(0.05) + 2) / 2) ** 2)
    theirs = -reference.log_marginal_likelihood_value_ - 20 * math.log(2 * math.pi)
    assert ours - prior == pytest.approx(theirs, abs=2e-3)


def test_two_gates_are_a_sum_of_kernels() -> None:
    train, new, y = crystals()
    lengths, signals, noise = [1.2, 2.5], [0.7, 0.4], 0.1
    head = head_with(lengths, signals, noise)
    head.solve(train, y)

    def covariance(a: list[Tensor], b: list[Tensor]) -> np.ndarray:
        distances = [math.sqrt(3) * cdist(x, z) / length for x, z, length in zip(a, b, lengths, strict=True)]
        return sum(s * (1 + r) * np.exp(-r) for r, s in zip(distances, signals, strict=True))

    solved = np.linalg.solve(covariance(train, train) + (noise + JITTER) * np.eye(40), y.double().numpy())
    np.testing.assert_allclose(head(head.to_support(new)).detach(), covariance(new, train) @ solved, atol=1e-4)


def test_gradients_of_the_likelihood_are_finite_differences() -> None:
    train, _, y = crystals()
    head = head_with([1.2, 2.5], [0.7, 0.4], 0.1)
    distances = [squared_distances(x, x) for x in train]
    head.negative_log_likelihood(distances, y).backward()
    for parameter in head.parameters():
        assert parameter.grad is not None
        for index in range(parameter.numel()):
            values = []
            for step in (1e-2, -1e-2):
                with torch.no_grad():
                    parameter.view(-1)[index] += step
                    values.append(head.negative_log_likelihood(distances, y).item())
                    parameter.view(-1)[index] -= step
            assert parameter.grad.view(-1)[index].item() == pytest.approx((values[0] - values[1]) / 2e-2, abs=1e-3)


def test_doubt_is_in_the_targets_unit(cards: list[ExpertCard], tmp_path: Path) -> None:
    data, model = synthetic(), new_model(cards, targets=["y"], target_transform="standardise")
    fit(model, data, tmp_path)
    std = model.head.std(data.part("test"))
    head = model.head.processes[0]
    mixed = model.head._mix(model.head.scaling(data.part("test").embeddings), 0)
    torch.testing.assert_close(std[:, 0], head.std(head.to_support(mixed)) * model.transform.std[0])
    ceiling = (head.log_signal.exp().sum() + head.log_noise.exp()).sqrt() * model.transform.std[0]
    far = Batch(torch.full((1, 14), 100.0), None, [])
    assert float(model.head.std(far)) > float(std.median())
    assert float(model.head.std(far)) <= float(ceiling) * 1.001


def test_duplicates_and_constant_targets_are_no_obstacle(cards: list[ExpertCard], tmp_path: Path) -> None:
    data = synthetic(torch.full((80, 1), 7.0))
    data.embeddings[:40] = data.embeddings[0]
    model = new_model(cards, targets=["y"])
    fit(model, data, tmp_path)
    finish(model, data, ["y"])
    torch.testing.assert_close(predictions(model, data), torch.full((15, 1), 7.0))
