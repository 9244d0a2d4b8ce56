"""GRU architectures against a stack of torch's own packed nn.GRU."""

import pytest
import torch
from cases import Case, make_state
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import neurallib as nl

LENGTHS = [11, 3, 1, 7]


class PackedStack(nn.Module):
    """The plain way: one nn.GRU a layer, packed, and a linear layer."""

    def __init__(self, n_features: int, hidden: list[int], both: list[bool], n_out: int) -> None:
        super().__init__()
        sizes = [n_features] + [h * (1 + b) for h, b in zip(hidden, both, strict=True)]
        self.gru_layers = nn.ModuleList(
            nn.GRU(n, h, bidirectional=b, batch_first=True) for n, h, b in zip(sizes, hidden, both, strict=False)
        )
        self.fc_out = nn.Linear(sizes[-1], n_out)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for gru in self.gru_layers:
            packed, h_n = gru(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
            x, _ = pad_packed_sequence(packed, batch_first=True)
        return x, torch.cat(list(h_n), dim=-1)


@pytest.mark.parametrize("both", [[False], [True], [True, False], [False, True, True]], ids=str)
def test_seq2seq_equals_a_stack_of_packed_grus(both: list[bool]) -> None:
    hidden = [5, 3, 4][: len(both)]
    state = nl.gru_seq2seq(
        n_features=2, hid_dim=hidden, n_layers=len(both), bidir_per_layer=both, num_classes=3, multi_label=True
    )
    network, packed = nl.build_network(state), PackedStack(2, hidden, both, 3)
    packed.load_state_dict(state["weights"])  # the original's names
    x = torch.randn(4, 11, 2)
    lengths, weight = torch.tensor(LENGTHS), torch.randn(4, 11, 3)
    mask = nl.valid_mask(lengths, 11)
    ours = network(x, lengths)
    theirs = packed.fc_out(packed(x, lengths)[0])
    torch.testing.assert_close(ours[mask], theirs[mask], rtol=1e-5, atol=1e-6)
    (ours * weight)[mask].sum().backward()
    (theirs * weight)[mask].sum().backward()
    for (name, mine), other in zip(network.named_parameters(), packed.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5, msg=lambda text: f"{name}: {text}")


@pytest.mark.parametrize("pooling", ["final", "last", "mean", "max"])
def test_seq2one_pools_what_packed_grus_give(pooling: str) -> None:
    state = nl.gru_seq2one(n_features=2, hid_dim=4, n_layers=2, bidirectional=True, pooling=pooling)
    packed = PackedStack(2, [4, 4], [True, True], 1)
    packed.load_state_dict(state["weights"])
    x, lengths = torch.randn(4, 11, 2), torch.tensor(LENGTHS)
    output, final = packed(x, lengths)
    expected = {
        "final": final,
        "last": torch.stack([row[n - 1] for row, n in zip(output, LENGTHS, strict=True)]),
        "mean": torch.stack([row[:n].mean(0) for row, n in zip(output, LENGTHS, strict=True)]),
        "max": torch.stack([row[:n].amax(0) for row, n in zip(output, LENGTHS, strict=True)]),
    }[pooling]
    ours = nl.build_network(state).eval()(x, lengths)
    torch.testing.assert_close(ours, packed.fc_out(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("n_enc", "n_dec"), [(1, 1), (2, 2), (3, 2), (2, 3)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_encoder_hands_both_directions_to_the_decoder_layer_beside_it(
    n_enc: int, n_dec: int, bidirectional: bool
) -> None:
    hidden = 3 * (1 + bidirectional)
    state = nl.gru_encoder_decoder(
        n_features=2, enc_hid_dim=3, dec_hid_dim=hidden, enc_layers=n_enc, dec_layers=n_dec, bidirectional=bidirectional
    )
    encoder = nn.GRU(2, 3, n_enc, bidirectional=bidirectional, batch_first=True)
    decoder = nn.GRU(2, hidden, n_dec, batch_first=True)
    fc_out = nn.Linear(hidden, 2)
    for module, prefix in ((encoder, "encoder."), (decoder, "decoder."), (fc_out, "fc_out.")):
        module.load_state_dict(
            {name.removeprefix(prefix): w for name, w in state["weights"].items() if name.startswith(prefix)}
        )
    x, y = torch.randn(1, 6, 2), torch.randn(1, 6, 2)
    h_n = encoder(x)[1].reshape(n_enc, 1 + bidirectional, 1, 3)
    by_layer = [torch.cat(list(h_n[k]), dim=-1) for k in range(n_enc)]
    h0 = torch.stack([by_layer[max(0, n_enc - n_dec + k)] for k in range(n_dec)])
    shifted = torch.cat([torch.zeros(1, 1, 2), y[:, :-1]], dim=1)
    expected = fc_out(decoder(shifted, h0)[0])
    torch.testing.assert_close(nl.build_network(state).eval()(x, None, y), expected, rtol=1e-5, atol=1e-6)


GRU_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@pytest.mark.parametrize("architecture", ["GRUseq2seq", "GRUseq2one", "GRUED"])
def test_weights_start_as_those_of_torchs_modules(architecture: str) -> None:
    """Uniformly, as widely as a layer has units, whatever it reads."""
    sizes = {"enc_hid_dim": 25, "dec_hid_dim": 36} if architecture == "GRUED" else {"hid_dim": [25, 36], "n_layers": 2}
    state = make_state(Case(architecture, "regression"), **sizes, n_features=400)
    for name, weight in state["weights"].items():
        units = weight.shape[-1] if "gru" not in name and "coder" not in name else len(weight) // 3
        if name == "fc_out.bias":
            units = state["weights"]["fc_out.weight"].shape[1]
        elif name.startswith("bridge") and name.endswith("bias"):
            units = state["weights"][name.replace("bias", "weight")].shape[1]
        bound = units**-0.5
        assert 0.85 * bound < weight.abs().max() <= bound, name
        assert weight.abs().mean() == pytest.approx(bound / 2, rel=0.3), name


def test_encoder_and_decoder_of_different_sizes_are_bridged_and_learn() -> None:
    state = nl.gru_encoder_decoder(n_features=1, enc_hid_dim=4, dec_hid_dim=6, enc_layers=2, dec_layers=1)
    x = torch.randn(2, 5, 1)
    weights, h = {name: 5 * weight for name, weight in state["weights"].items()}, torch.zeros(2, 4)
    network = nl.build_network({**state, "weights": weights})
    below = x
    for k in range(2):
        steps, h = [], torch.zeros(2, 4)
        for t in range(5):
            h = torch.gru_cell(below[:, t], h, *(weights[f"encoder.{name}_l{k}"] for name in GRU_NAMES))
            steps.append(h)
        below = torch.stack(steps, dim=1)
    bridged = nn.functional.linear(h, weights["bridge.0.weight"], weights["bridge.0.bias"]).tanh()
    decoder = [weights[f"decoder.{name}_l0"] for name in GRU_NAMES]
    first = network(x, None, x, features=True)[:, 0]
    torch.testing.assert_close(first, torch.gru_cell(torch.zeros(2, 1), bridged, *decoder), rtol=1e-4, atol=1e-5)
    network(x, None, x).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_a_network_can_be_compiled_ahead_by_torch_export() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=2, bidirectional=True)
    network = nl.build_network(state).eval()
    x, lengths = torch.randn(2, 6, 1), torch.tensor([6, 4])
    exported = torch.export.export(network, (x, lengths))
    torch.testing.assert_close(exported.module()(x, lengths), network(x, lengths))
