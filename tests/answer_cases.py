"""States whose answers are known, and recordings for them."""

import numpy as np
import torch

import neurallib as nl


def known_detector(rate: float, **events: float) -> nl.State:
    """A state whose probability follows its input: sigmoid(12 * tanh(...)) rises with x."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=1, n_layers=1)
    zero = {name: torch.zeros_like(weight) for name, weight in state["weights"].items()}
    zero["gru_layers.0.weight_ih_l0"] = torch.tensor([[0.0], [0.0], [9.0]])
    zero["gru_layers.0.bias_ih_l0"] = torch.tensor([0.0, -20.0, -3.0])
    zero["fc_out.weight"], zero["fc_out.bias"] = torch.tensor([[12.0]]), torch.tensor([0.0])
    post = {"outputs": ["R-peak"], "events": events}
    return {**state, "weights": zero, "postprocessing": post,
            "preprocessing": {**state["preprocessing"], "sampling_frequency": rate}}  # fmt: skip


def ecg_recording(sign: float = 1.0) -> tuple[dict, np.ndarray]:
    signal, r_peaks = nl.synthetic_ecg(duration=30, sampling_frequency=250, seed=3)
    both = np.stack([np.zeros_like(signal), sign * signal], axis=1)
    return {"name": "r", "signal": both, "sampling_frequency": 250.0, "channels": ["V", "II"]}, r_peaks


def heart_recording() -> dict:
    recording, _ = ecg_recording()
    return recording | {"signal": recording["signal"][:, 1:], "channels": ["II"]}
