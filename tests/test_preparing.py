"""Preparing signals and targets: what is checked, what is corrected, and what stays in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from cases import Case, make_state
from signal_files import one_feature, ramp, write

import neurallib as nl
from neurallib.signals.conversion import Handed
from neurallib.signals.preparing import prepare_handed


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.array([[0.0], [np.nan]]), [[0], [1]], r"x of data\[0\] holds nan at \[1, 0\]"),
        (np.array([[0.0], [np.inf]]), [[0], [1]], r"x of data\[0\] holds inf"),
        (ramp(3), [[0], [1]], r"y of data\[0\] has shape \(2, 1\), x 3 steps; seq2seq binary expects \(3, 1\)"),
        (ramp(2), [[0], [2]], "holds the label 2; binary .* from 0 to 1, or nan"),
        (ramp(2), [[0], [-1]], "holds the label -1"),
        (ramp(2, 2), [[0], [1]], r"x of data\[0\] has shape \(2, 2\); expected \(T, 1\)"),
        (np.array([[0.0], [1e39]]), [[0], [1]], r"x of data\[0\] holds values up to 1e\+39, beyond .* float32"),
        (np.array([[-1e300], [0.0]]), [[0], [1]], r"x of data\[0\] holds values up to 1e\+300"),
        (np.zeros((0, 1)), np.zeros((0, 1)), "at least one step"),
        (np.zeros((2, 3, 1)), [[0], [1]], r"has shape \(2, 3, 1\)"),
        (np.array([["a"], ["b"]]), [[0], [1]], r"x of data\[0\] holds <U1"),
        (np.array([[1j], [0j]]), [[0], [1]], "holds complex"),
    ],
)
def test_a_signal_or_target_that_cannot_be_used_is_named(x: np.ndarray, y: list, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        nl.prepare(one_feature(), [(x, np.asarray(y))])


def test_labels_of_a_multiclass_task_are_checked() -> None:
    state = one_feature(num_classes=3)
    with pytest.raises(ValueError, match="label 3; multiclass with num_classes=3 expects whole .* 0 to 2, or -1"):
        nl.prepare(state, [(ramp(2), np.array([0, 3]))])


def test_what_is_no_list_of_pairs_is_refused() -> None:
    state = one_feature()
    with pytest.raises(ValueError, match="train_data is empty"):
        nl.prepare(state, [], "train_data")
    with pytest.raises(ValueError, match="data is empty"):
        nl.prepare(state, (pair for pair in []))
    with pytest.raises(TypeError, match=r"data\[0\] is a ndarray; expected a pair"):
        nl.prepare(state, [ramp(3)])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"data is an array of shape \(3, 1\); .* it has no targets"):
        nl.prepare(state, ramp(3))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint16, np.int64, bool])
def test_signals_of_any_number_type_become_float32(dtype: type) -> None:
    data = nl.prepare(one_feature(), [(np.array([[0], [1]], dtype=dtype), np.array([[0], [1]], dtype=dtype))])
    assert data[0][0].dtype == data[0][1].dtype == torch.float32
    assert data[0][0].tolist() == [[0.0], [1.0]]


def test_a_truth_value_is_a_class() -> None:
    state = make_state(Case("GRUseq2one", "multiclass"))
    assert nl.prepare(state, [(np.zeros((4, 2)), True), (np.zeros((4, 2)), np.False_)])[0][1].tolist() == 1


FORMS = [
    ("GRUseq2seq", "binary", (5, 1), [(1, 5)], [(5,)]),
    ("GRUseq2seq", "multilabel", (5, 3), [(3, 5)], []),
    ("GRUseq2seq", "multiclass", (5,), [(5, 1), (1, 5)], []),
    ("GRUseq2seq", "regression", (5, 2), [(2, 5)], []),
    ("GRUseq2one", "binary", (1,), [], [(1, 1), ()]),
    ("GRUseq2one", "multilabel", (3,), [], [(1, 3)]),
    ("GRUseq2one", "multiclass", (), [(1, 1)], [(1,)]),
    ("GRUseq2one", "regression", (2,), [], [(1, 2)]),
]


@pytest.mark.parametrize(("architecture", "kind", "wanted", "corrected", "quiet"), FORMS)
def test_targets_come_in_every_form_of_the_original(
    architecture: str, kind: str, wanted: tuple, corrected: list, quiet: list, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "neurallib")
    state = make_state(Case(architecture, kind))  # type: ignore[arg-type]
    x = np.zeros((5, 2))
    values = np.arange(np.prod(wanted, dtype=int)).reshape(wanted) % 2
    for form in (wanted, *quiet, *corrected):
        transposed = len(form) == 2 and len(wanted) == 2 and form == wanted[::-1]
        given = values.T if transposed else values.reshape(form)
        caplog.clear()
        y = nl.prepare(state, [(x, given)] * 3)[2][1]
        assert y.tolist() == values.tolist() and tuple(y.shape) == wanted
        assert y.dtype == (torch.int64 if kind == "multiclass" else torch.float32)
        assert len(caplog.messages) == (form in corrected)  # one for all three
        assert all("in 3 of 3 signals" in message for message in caplog.messages)


@pytest.mark.parametrize("n_steps", [2, 5])
def test_a_transposed_target_is_logged_by_its_axes(n_steps: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "neurallib")
    state = make_state(Case("GRUseq2seq", "multilabel"))
    y = np.zeros((3, n_steps))
    nl.prepare(state, [(np.zeros((n_steps, 2)), y)])
    assert "y is [3, T], taken as [T, 3]" in caplog.text


def test_signals_are_shaped_with_one_word_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "neurallib")
    wide = {f"{i}.npy": ramp(6, 2).T for i in range(4)}
    folder = nl.open_folder(*write(tmp_path, wide, {name: np.zeros((6, 1)) for name in wide}))
    state = nl.gru_seq2seq(n_features=2, hid_dim=3, n_layers=1)
    data = nl.prepare(state, folder)
    (told,) = caplog.messages
    assert told.startswith("x is [2, T], transposed to [T, 2], in 4 of 4 signals: train/0.npy")
    assert np.array_equal(data[1][0], ramp(6, 2))
    assert nl.prepare(one_feature(), [(ramp(4)[:, 0], np.zeros((4, 1)))])[0][0].shape == (4, 1)
    assert "x is [T], taken as [T, 1]" in caplog.text


def test_signals_beyond_the_budget_are_read_again_and_equal(tmp_path: Path) -> None:
    signals = {f"{i}.npy": np.random.default_rng(i).normal(size=(20, 1)) for i in range(5)}
    folder = nl.open_folder(*write(tmp_path, signals, {name: (x > 0).astype(int) for name, x in signals.items()}))
    kept, read = nl.prepare(one_feature(), folder), nl.prepare(one_feature(), folder, memory_budget=300)
    assert len(kept._kept) == 5 and len(read._kept) == 1
    for a, b in zip(kept, read, strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_a_long_signal_beyond_the_budget_leaves_it_to_the_others() -> None:
    pairs = [(ramp(n), np.zeros((n, 1))) for n in (1000, 10, 10)]
    assert sorted(nl.prepare(one_feature(), pairs, memory_budget=200)._kept) == [1, 2]


def test_signals_without_targets_are_prepared_alike(tmp_path: Path) -> None:
    state = one_feature()
    x = ramp(6)
    folder = nl.open_folder(*write(tmp_path, {"1.npy": x}, {"1.npy": np.zeros((6, 1))}))
    for signals in ([x], [torch.from_numpy(x)], folder, x[None]):
        assert torch.equal(prepare_handed(state, signals, "signals", False, Handed())[0][0], torch.from_numpy(x))


def test_what_is_prepared_is_not_prepared_once_more() -> None:
    pairs = [(ramp(n), np.zeros((n, 1))) for n in (4, 5, 6, 7)]
    prepared = nl.prepare(one_feature(), pairs)
    parts = torch.utils.data.random_split(prepared, [2, 2])
    for call in (
        lambda: nl.evaluate(one_feature(), prepared),
        lambda: nl.predict(one_feature(), prepared),
        lambda: nl.prepare(one_feature(), prepared),
        lambda: nl.train(one_feature(), *parts, epochs=1, batch_size=2, enable_progress_bar=False),
        lambda: nl.train(one_feature(), pairs, prepared, epochs=1, batch_size=2, enable_progress_bar=False),
    ):
        with pytest.raises(TypeError, match=r"(data|signals) is what prepare\(state, data\) gives, normalized already"):
            call()


def band_limited(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Noise whose last axis is like time: neighbours go together, as in a signal of the body."""
    noise = np.random.default_rng(seed).standard_normal((*shape[:-1], shape[-1] + 8))
    return np.stack([noise[..., i : i + shape[-1]] for i in range(9)]).sum(axis=0)


def test_signals_on_their_side_are_told_and_features_of_few_steps_are_not() -> None:
    epochs = band_limited((30, 8, 128))  # [N, C, T], as MNE-Python has them
    labels = np.zeros(30, int)
    state = nl.gru_seq2one(n_features=128, hid_dim=4, n_layers=1, task="classification", num_classes=2)
    words = r"signals of 8 steps and 128 features seem to lie on their side: .*np.swapaxes\(x, 1, 2\).*n_features=8"
    with pytest.warns(UserWarning, match=words):
        nl.prepare(state, (epochs, labels))
    with pytest.warns(UserWarning, match=words):
        nl.predict(state, epochs)
    channels = np.arange(8.0)[:, None]
    with pytest.warns(UserWarning, match=words):  # where a channel rests, and how large it is, hide nothing
        nl.prepare(state, (epochs * (1 + channels) + 100 * channels, labels))
    with pytest.warns(UserWarning, match="of 1 step and 128 features"):
        nl.prepare(state, (epochs[:, :1], labels))

    rng = np.random.default_rng(0)
    powers = np.exp(rng.standard_normal((30, 5, 128)))
    shared = rng.standard_normal((30, 5, 1)) + 0.3 * rng.standard_normal((30, 5, 128))
    bands = np.concatenate([band_limited((30, 5, 16), seed) for seed in range(8)], axis=2)  # of 16 channels each
    scales = band_limited((30, 20, 128)).cumsum(axis=1)  # an axis of its own, and steps that are time all the same
    levels = np.repeat([1.0] * 7 + [20.0], 16)  # of bands, one of which outweighs the others
    noise = rng.standard_normal((120, 5, 129))
    little = noise[..., 1:] + 0.3 * noise[..., :-1]  # as bins of a spectrum that overlap
    spectra = band_limited((30, 5, 128), 3) - 9 * np.log(np.arange(1, 129))  # smooth, each bin about its own level
    others = np.ones((30, 5, 128)), band_limited((1, 64, 128)), [*epochs, epochs[0, 1:]]  # channels are as many in each
    for features in (powers, shared, bands, bands * levels, scales, little, spectra, *others):
        nl.prepare(state, (features, np.zeros(len(features), int)))  # and no warning
    few = epochs[:4], np.arange(4) % 2  # to validate on
    nl.train(state, (powers, np.arange(30) % 2), few, epochs=1, batch_size=6, dry_run=True)


def test_signals_that_are_too_short_at_their_rate_seem_to_lie_on_their_side() -> None:
    emg = np.random.default_rng(0).standard_normal((6, 8, 100))
    state = nl.gru_seq2one(n_features=100, hid_dim=4, n_layers=1, task="classification", num_classes=2)
    pair = (emg, np.arange(6) % 2)
    nl.prepare(state, pair)
    with pytest.warns(UserWarning, match=r"8 steps and 100 features .*: at 200 Hz they last 0\.04 s"):
        nl.train(state, pair, pair, epochs=1, batch_size=6, sampling_frequency=200, dry_run=True)
    pieces = np.random.default_rng(0).standard_normal((6, 20, 100))  # 20 moments of 100 electrodes
    nl.train(state, (pieces, pair[1]), (pieces, pair[1]), epochs=1, batch_size=6, sampling_frequency=1000, dry_run=True)
