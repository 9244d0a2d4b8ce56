"""The area under the ROC curve: exact, or in bins, and always in bounded memory."""

import math
import tracemalloc

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_auroc, multiclass_auroc

from neurallib.measures import auroc
from neurallib.measures.auroc import Auroc

RNG = np.random.default_rng(0)
N = 200_000
SCORES = {
    "a detector of rare events": (-9, 3, 6, 0.01),
    "nearly constant": (0, 1e-3, 1e-3, 0.3),
    "nearly constant, far from a half": (4, 1e-3, 1e-3, 0.3),
    "beyond float32's last digit": (12, 5, 5, 0.1),
    "good": (0, 1, 3, 0.5),
    "useless": (0, 1, 0, 0.5),
    "turned around": (0, 1, -2, 0.5),
}


def drawn(center: float, spread: float, gap: float, share: float) -> tuple[np.ndarray, np.ndarray]:
    positive = RNG.random(N) < share
    logits = center + spread * RNG.standard_normal(N) + gap * positive
    return (1 / (1 + np.exp(-logits))).astype(np.float32)[:, None], positive[:, None]


def area(probabilities: np.ndarray, positive: np.ndarray, batch: int = 7001) -> np.ndarray:
    seen = Auroc(probabilities.shape[1])
    for i in range(0, len(probabilities), batch):
        seen.update(probabilities[i : i + batch], positive[i : i + batch])
    return np.array([auroc.area(*pair) for pair in seen.sides()])


@pytest.mark.parametrize("what", SCORES)
def test_it_is_exact_where_all_is_kept_and_within_a_thousandth_where_not(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    probabilities, positive = drawn(*SCORES[what])
    exact = binary_auroc(torch.from_numpy(probabilities[:, 0]), torch.from_numpy(positive[:, 0].astype(int)))
    assert area(probabilities, positive)[0] == pytest.approx(float(exact), abs=1e-6)
    monkeypatch.setattr(auroc, "EXACT", 1000)
    assert area(probabilities, positive)[0] == pytest.approx(float(exact), abs=1e-3)


def test_each_class_has_its_own_and_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.from_numpy(RNG.standard_normal((5000, 4)))
    y = torch.from_numpy(RNG.integers(0, 4, 5000))
    probabilities = (logits + 2 * torch.nn.functional.one_hot(y, 4)).softmax(-1).float()
    exact = multiclass_auroc(probabilities, y, 4, average="none").numpy()
    holds = torch.nn.functional.one_hot(y, 4).numpy()
    for batch in (1, 999, 5000):
        np.testing.assert_allclose(area(probabilities.numpy(), holds, batch), exact, atol=1e-6)
    monkeypatch.setattr(auroc, "EXACT", 100)
    np.testing.assert_allclose(area(probabilities.numpy(), holds), exact, atol=1e-3)


@pytest.mark.parametrize("limit", [1, 1 << 20])
def test_ties_count_half_and_one_side_alone_is_nan(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auroc, "EXACT", limit)
    probabilities = np.array([[0.0], [0.5], [0.5], [1.0]], np.float32)
    assert area(probabilities, np.array([[0], [0], [1], [1]]))[0] == 0.875
    assert math.isnan(area(probabilities, np.ones((4, 1)))[0])
    assert math.isnan(auroc.area(*Auroc(1).sides()[0]))


@pytest.mark.parametrize("by_others", [False, True])
def test_memory_does_not_grow_with_the_number_of_outputs(by_others: bool) -> None:
    peaks = []
    for n_batches in (40, 120):
        seen, batch = Auroc(1), (np.zeros((50_000, 1), np.float32), np.ones((50_000, 1), bool))
        tracemalloc.start()
        for _ in range(n_batches):
            if by_others:
                other = Auroc(1)
                other.update(*(part.copy() for part in batch))
                seen.add(other)
            else:
                seen.update(*batch)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
