"""Adaptive module composition: how much each module counts for a task (Wang et al., ICLR 2026, arXiv 2502.15483)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

# Crystals whose similarities to all others are held in memory at once.
CHUNK = 1000
# Of equally good weights the most even ones are chosen: a ridge this far below the variance of the target.
RIDGE = 1e-9
# Newton steps towards weights with an entropy term, of which some ten are usual, and where a weight counts as zero.
MAX_STEPS = 500
SMALLEST = 1e-9


def loo_knn_predictions(
    embeddings: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int = 5,
    temperature: float = 0.2,
) -> NDArray[np.float64]:
    """Predict each crystal from its nearest neighbours among the others.

    Neighbours count by ``exp(cos / temperature)``, where cos is the cosine similarity of the embeddings.

    Args:
        embeddings: ``[n, dim]``.
        y: Targets ``[n]``.
        groups: Label of each crystal ``[n]``; those with the same label are copies of each other, and none of them is
            predicted from another. By default all crystals differ.
        k: Number of neighbours; where there are fewer crystals, all of them.
        temperature: Of the similarities.

    Returns:
        ``[n]``, in the unit of ``y``.

    Raises:
        ValueError: When shapes differ, values are not finite, or a crystal has no other to be predicted from.

    Example:
        >>> loo_knn_predictions([[1, 0], [1, 0], [0, 1]], [1.0, 3.0, 9.0], k=1)
        array([3., 1., 1.])
    """
    x = torch.as_tensor(np.asarray(embeddings, dtype=np.float64))
    values = torch.as_tensor(np.array(y, dtype=np.float64))
    n = len(values)
    if values.ndim != 1 or x.ndim != 2 or len(x) != n:
        raise ValueError(f"embeddings {tuple(x.shape)} and targets {tuple(values.shape)} do not go together")
    if not (x.isfinite().all() and values.isfinite().all()):
        raise ValueError("embeddings and targets must be finite: leave out crystals without a value")
    if k < 1 or not temperature > 0:
        raise ValueError(f"k is {k} and the temperature {temperature}: use at least 1, and a positive number")
    labels = torch.as_tensor(np.unique(np.arange(n) if groups is None else np.asarray(groups), return_inverse=True)[1])
    if n == 0 or not (labels != labels[0]).any():
        raise ValueError(f"{n} crystals, all of them the same: two different ones are the least to compare")
    x = x / x.norm(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    predictions = torch.empty(n, dtype=torch.float64)
    for rows in torch.arange(n).split(CHUNK):
        similarity = (x[rows] @ x.T).masked_fill_(labels[rows, None] == labels, -torch.inf)
        nearest, neighbors = similarity.topk(min(k, n - 1), dim=1)
        weights = (nearest / temperature).exp()  # of a copy, which only fills up the k: zero
        predictions[rows] = (weights * values[neighbors]).sum(1) / weights.sum(1)
    return predictions.numpy()


def amc_weights(
    predictions: ArrayLike, y: ArrayLike, *, entropy: float = 0.0, sparsity: float = 0.0
) -> NDArray[np.float64]:
    """The convex weights of modules whose weighted predictions are closest to the targets.

    Minimises ``mean_i (sum_j w_j p_ij - y_i)^2`` over ``w >= 0``, ``sum w = 1``, exactly, by an active-set method. With
    ``sum w = 1`` this is the point nearest to the origin in the convex hull of the modules' residuals, which a
    non-negative least squares problem finds: the one with a further row ``sum_j u_j = 1``, and ``w = u / sum u``.

    Two terms can be added, in units of the variance of the targets. ``entropy * sum_j w_j ln w_j`` makes weights more
    even. ``sparsity * (sum_j w_j e_j)^2``, with ``e_j`` the root mean squared error of module j alone, prefers modules
    that are good by themselves, and so fewer of them: the absolute values of weights, which otherwise serve for this,
    sum to 1 here whatever one does.

    Args:
        predictions: Of each module ``[n, n_modules]``.
        y: Targets ``[n]``.
        entropy: Strength of the first term.
        sparsity: Strength of the second term.

    Returns:
        ``[n_modules]``. Modules with equal predictions get equal weights; one whose weight is zero does not change the
        weights of the others by a single bit.

    Raises:
        ValueError: When shapes differ, values are not finite, or a strength is negative.

    Example:
        >>> amc_weights([[0.0, 2.0], [4.0, 2.0]], [1.0, 3.0])
        array([0.5, 0.5])
    """
    p, values = np.asarray(predictions, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if values.ndim != 1 or p.ndim != 2 or len(p) != len(values) or 0 in p.shape:
        raise ValueError(f"predictions {p.shape} and targets {values.shape} do not go together")
    if not (np.isfinite(p).all() and np.isfinite(values).all()):
        raise ValueError("predictions and targets must be finite")
    if entropy < 0 or sparsity < 0:
        raise ValueError(f"entropy is {entropy} and sparsity {sparsity}: use positive numbers, or 0 for none")
    residuals = (p - values[:, None]) / (np.sqrt(len(values)) * (values.std() or 1.0))
    # Column by column, so that a module's numbers do not depend on which others there are.
    errors = np.array([np.sqrt(column @ column) for column in residuals.T])
    rows = np.vstack([residuals, np.sqrt(sparsity) * errors])
    return _most_even(rows, entropy) if entropy > 0 else _nearest_to_origin(rows)


def _nearest_to_origin(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convex weights ``[n]`` of the columns ``[m, n]`` whose combination is shortest."""
    n = rows.shape[1]
    triangle = np.linalg.qr(rows, mode="r")  # the same lengths in a few rows
    bounded = np.vstack([triangle, np.sqrt(RIDGE) * np.eye(n), np.ones(n)])
    chosen = nnls(bounded, np.append(np.zeros(len(bounded) - 1), 1.0), maxiter=100 * n)[0] > 0
    # Solved again from the chosen columns alone: the steps on the way there leave no trace in the last digits.
    columns = np.ascontiguousarray(rows[:, chosen])
    weights = np.zeros(n)
    weights[chosen] = np.linalg.solve(columns.T @ columns + RIDGE * np.eye(columns.shape[1]), np.ones(columns.shape[1]))
    weights = weights.clip(0)
    return weights / weights.sum()


def _most_even(rows: NDArray[np.float64], entropy: float) -> NDArray[np.float64]:
    """As `_nearest_to_origin`, with ``entropy * sum w ln w`` added: Newton's method, for all weights are positive."""
    gram = rows.T @ rows
    ones = np.ones(len(gram))

    def objective(w: NDArray[np.float64]) -> float:
        return float(w @ gram @ w + entropy * (w @ np.log(w)))

    w = ones / len(ones)
    for _ in range(MAX_STEPS):
        slope = 2 * gram @ w + entropy * (np.log(w) + 1)
        curvature = 2 * gram + entropy * np.diag(1 / w)
        of_slope, of_sum = np.linalg.solve(curvature, np.stack([slope, ones], axis=1)).T
        step = of_sum * (of_slope.sum() / of_sum.sum()) - of_slope  # the sum of the weights stays
        gain = -slope @ step
        if gain < 1e-14:
            break
        # The way ends before a weight is zero, unless it has long been next to nothing.
        size = min(1.0, 0.9 / max((-step / w)[w > SMALLEST].max(), 1e-300))
        while objective(moved := (w + size * step).clip(1e-3 * SMALLEST)) > objective(w) - 0.1 * size * gain:
            size /= 2
            if size < 1e-12:
                return w / w.sum()
        w = moved / moved.sum()
    return w
