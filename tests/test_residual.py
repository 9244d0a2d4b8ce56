"""residual: a network whose outputs are added to its signal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurallib as nl

QUIET: dict[str, Any] = {"enable_progress_bar": False}


def denoiser(**more: Any) -> nl.State:
    return nl.gru_seq2seq(n_features=2, hid_dim=4, n_layers=1, task="regression", residual=True, **more)


def plain(state: nl.State) -> nl.State:
    """The same network without what is added."""
    return {**state, "preprocessing": {**state["preprocessing"], "residual": None}}


@pytest.mark.parametrize("fold", [1, 3])
def test_outputs_are_added_to_the_signal_and_padding_stays_zero(fold: int) -> None:
    state = denoiser(fold=fold, steps=[{"name": "band", "low": 5.0, "high": 30.0, "beside": True}])
    x, lengths = torch.randn(2, 10, 4), torch.tensor([10, 7])
    network, inside = nl.build_network(state).eval(), nl.build_network(plain(state)).eval()
    expected = inside(x, lengths) + x[..., :2]
    expected[1, 7:] = 0
    torch.testing.assert_close(network(x, lengths), expected)
    features = network(x, lengths, features=True)
    torch.testing.assert_close(features, inside(x, lengths, features=True))


def test_a_network_that_says_nothing_gives_the_signal_back_in_its_own_units() -> None:
    state, rng = denoiser(), np.random.default_rng(0)
    signals = [rng.standard_normal((50, 2)) * 3 + 1 for _ in range(6)]
    for normalization in ("zscore", "block"):
        known = nl.train(
            state, [(x, x) for x in signals], [(x, x) for x in signals[:1]], epochs=1, batch_size=2, dry_run=True,
            normalization=normalization, target_normalization="signal", **QUIET,
        )  # fmt: skip
        known["weights"] = {name: torch.zeros_like(weight) for name, weight in known["weights"].items()}
        for x, found in zip(signals, nl.predict(known, signals), strict=True):
            assert np.abs(found - x).max() < 1e-3, normalization


@pytest.mark.filterwarnings("ignore:the best model is no better than a constant")
def test_a_residual_state_trains_and_comes_back_from_its_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [(x + rng.standard_normal((40, 2)), x) for x in [rng.standard_normal((40, 2)).cumsum(0) for _ in range(4)]]
    state = nl.train(denoiser(fold=2), pairs, pairs[:1], epochs=1, batch_size=2, **QUIET)
    back = nl.load_checkpoint(nl.save_checkpoint(state, tmp_path / "model"))
    assert back["preprocessing"] == state["preprocessing"] and back["preprocessing"]["residual"] is True
    signals = [x for x, _ in pairs]
    for a, b in zip(nl.predict(state, signals), nl.predict(back, signals), strict=True):
        assert np.array_equal(a, b)
    assert not np.allclose(nl.predict(plain(back), signals[:1])[0], nl.predict(back, signals[:1])[0])


def test_another_head_is_not_added_to_the_signal() -> None:
    state = denoiser()
    assert nl.replace_head(state, seed=1)["preprocessing"]["residual"] is True
    other = nl.replace_head(state, task="classification", num_classes=5)
    assert not other["preprocessing"]["residual"]
    assert nl.build_network(other)(torch.zeros(1, 6, 2)).shape == (1, 6, 5)


def test_what_has_no_output_for_each_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="residual=True adds outputs to the signal"):
        nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, residual=True)
    with pytest.raises(ValueError, match="2 for 1"):
        nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, task="regression", n_outputs=2, residual=True)
    with pytest.raises(TypeError, match="residual"):
        nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, task="regression", residual="yes")


def test_streams_say_that_they_do_not_add() -> None:
    with pytest.raises(ValueError, match="residual"):
        nl.init_stream(denoiser())


def test_a_long_recording_in_one_direction_gets_the_same_as_in_one_pass() -> None:
    state = denoiser()
    state["preprocessing"]["sampling_frequency"] = 100.0
    signal = np.random.default_rng(0).standard_normal((900, 2)).astype(np.float32)
    answer = nl.predict_recording(state, {"signal": signal, "sampling_frequency": 100.0})["output"]
    assert np.allclose(answer, nl.predict(state, [signal])[0], atol=1e-5)


def test_signals_that_are_changed_in_training_alone_and_wanted_back_are_told(recwarn: pytest.WarningsRecorder) -> None:
    rng = np.random.default_rng(0)
    signals = [rng.standard_normal((40, 2)) for _ in range(4)]
    same = [(x, x) for x in signals]
    options: dict[str, Any] = {"epochs": 1, "batch_size": 2, "dry_run": True, **QUIET}

    def masked(x: np.ndarray, y: np.ndarray, drawn: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x[:5] = 0 if drawn.random() < 0.5 else x[:5]
        return x, y

    nl.train(denoiser(), same, [masked(x.copy(), x, rng) for x in signals], augment=masked, **options)
    nl.train(denoiser(), same, same, augment=lambda x, y, drawn: (1.37 * x, 1.37 * y), **options)
    nl.train(denoiser(), same, [same[0], (signals[1] + 1, signals[1])], augment=masked, **options)  # not all are clean
    nl.train(denoiser(), same, same[:2], augment=masked, **options)  # each may have been left as it is, as half are
    assert not recwarn.list
    with pytest.warns(UserWarning, match="val_data asks for its signals as they are, which augment= changes in train"):
        nl.train(denoiser(), same, [*same, *same], augment=masked, **options)
    with pytest.warns(UserWarning, match="val_data asks for its signals as they are"):
        nl.train(denoiser(), same, same[:1], augment=lambda x, y, drawn: (0 * x, y), **options)
