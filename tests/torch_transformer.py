"""The three Transformers made of torch's own modules, and small states to compare with them."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from neurallib.models.registry import ARCHITECTURES
from neurallib.sequences import valid_mask
from neurallib.state import State

LENGTHS = torch.tensor([11, 3, 1, 7])
LAYERS = {"n_features": 2, "d_model": 12, "nhead": 3, "num_encoder_layers": 2, "dim_feedforward": 20}
SIZES: dict[str, dict[str, Any]] = {
    "Transformerseq2seq": LAYERS | {"num_decoder_layers": 2},
    "Transformerseq2one": LAYERS,
    "TransformerED": LAYERS | {"num_decoder_layers": 2},
}


def make_state(architecture: str, **hparams: Any) -> State:
    return ARCHITECTURES[architecture].factory(**(SIZES[architecture] | hparams))


def lively(state: State) -> State:
    """`state` with random numbers for the zeros and ones that biases and norms start from."""
    return State(**(state | {"weights": {name: w + 0.1 * torch.randn_like(w) for name, w in state["weights"].items()}}))


def sinusoids(n_steps: int, d_model: int) -> Tensor:
    """The formula of Vaswani et al. 2017, an entry at a time."""
    table = torch.zeros(n_steps, d_model)
    for t in range(n_steps):
        for i in range(d_model):
            angle = t / 10000 ** (2 * (i // 2) / d_model)
            table[t, i] = math.cos(angle) if i % 2 else math.sin(angle)
    return table


class TorchTransformer(nn.Module):
    """The three architectures of torch's own modules."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.architecture, h = state["architecture"], state["hparams"]
        sizes = {"d_model": h["d_model"], "nhead": h["nhead"], "dim_feedforward": h["dim_feedforward"]}
        options: dict[str, Any] = {"dropout": 0.0, "batch_first": True}
        self.input_projection = nn.Linear(h["n_features"], h["d_model"])
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(**sizes, **options), h["num_encoder_layers"], enable_nested_tensor=False
        )
        if "num_decoder_layers" in h:
            self.decoder = nn.TransformerDecoder(
                nn.TransformerDecoderLayer(**sizes, **options), h["num_decoder_layers"]
            )
        self.fc_out = nn.Linear(h["d_model"], len(state["weights"]["fc_out.bias"]))

    def forward(self, x: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        n_steps = x.shape[1]
        padding = ~valid_mask(lengths, n_steps)
        table = sinusoids(n_steps, self.input_projection.out_features)
        embedded = self.input_projection(x) + table
        memory = self.encoder(embedded, src_key_padding_mask=padding)
        if self.architecture == "Transformerseq2one":
            pooled = [row[:n].mean(dim=0) for row, n in zip(memory, lengths, strict=True)]
            return self.fc_out(torch.stack(pooled))
        masks = {"tgt_key_padding_mask": padding, "memory_key_padding_mask": padding}
        if self.architecture == "TransformerED":
            shifted = torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], dim=1)
            embedded = self.input_projection(shifted) + table
            masks["tgt_mask"] = torch.ones(n_steps, n_steps, dtype=torch.bool).triu(1)
        return self.fc_out(self.decoder(embedded, memory, **masks))
