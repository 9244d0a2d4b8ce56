"""Transformers against torch's own modules; their positions, memory and generation."""

import inspect
import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch_transformer import LENGTHS, SIZES, TorchTransformer, lively, make_state, sinusoids

from neurallib.models.attention import key_mask, positions
from neurallib.models.network import Network, undrawn
from neurallib.models.registry import ARCHITECTURES, build_network
from neurallib.models.transformer import transformer_encoder_decoder, transformer_seq2one, transformer_seq2seq
from neurallib.sequences import valid_mask

each_architecture = pytest.mark.parametrize("architecture", SIZES)


@each_architecture
@pytest.mark.parametrize("lengths", [LENGTHS, torch.full((4,), 11)], ids=["mixed", "equal"])
def test_values_and_gradients_are_those_of_torchs_modules(architecture: str, lengths: Tensor) -> None:
    state = lively(make_state(architecture))
    network, reference = build_network(state), TorchTransformer(state)
    reference.load_state_dict(state["weights"])  # strict: the names are torch's own
    x, target = torch.randn(2, 4, 11, 2)
    ours, theirs = network(x, lengths, target), reference(x, lengths, target)
    valid = valid_mask(lengths, 11) if ours.dim() == 3 else torch.ones(4, dtype=torch.bool)
    torch.testing.assert_close(ours[valid], theirs[valid], rtol=1e-5, atol=1e-5)
    weight = torch.randn_like(theirs[valid])
    (ours[valid] * weight).sum().backward()
    (theirs[valid] * weight).sum().backward()
    for name, parameter in reference.named_parameters():
        mine = network.get_parameter(name).grad
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-4, atol=1e-4, msg=lambda text: f"{name}: {text}")


@each_architecture
def test_weights_start_as_those_of_torchs_modules(architecture: str) -> None:
    task = {} if architecture == "TransformerED" else {"task": "regression"}
    state = make_state(architecture, n_features=64, d_model=64, nhead=2, dim_feedforward=128, **task)
    for name, theirs in TorchTransformer(state).named_parameters():
        ours = state["weights"][name]
        if theirs.unique().numel() == 1:
            assert torch.equal(ours, theirs), name
        else:
            few = 0.35 if ours.dim() == 1 else 0.05
            assert ours.std().item() == pytest.approx(theirs.std().item(), rel=few), name
            assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=few), name


@each_architecture
def test_padding_changes_neither_output_nor_gradient(architecture: str) -> None:
    state = lively(make_state(architecture, n_features=1))
    network, alone = build_network(state), build_network(state)
    x, target, weight = torch.randn(3, 4, 11, 1)
    output = network(x, LENGTHS, target)
    (output * (weight if output.dim() == 3 else weight[:, 0])).sum().backward()
    for i, n in enumerate(LENGTHS.tolist()):
        single = alone(x[i : i + 1, :n], None, target[i : i + 1, :n])
        (single * (weight[i, :n] if output.dim() == 3 else weight[i, 0])).sum().backward()
        torch.testing.assert_close(output[i, :n] if output.dim() == 3 else output[i], single[0], rtol=1e-5, atol=1e-5)
        assert output.dim() == 2 or not output[i, n:].any()
    for (name, mine), other in zip(network.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-4, msg=lambda text: f"{name}: {text}")


@each_architecture
@pytest.mark.parametrize(
    ("task", "n_out"),
    [
        ({"task": "classification", "num_classes": 1}, 1),
        ({"task": "classification", "num_classes": 3}, 3),
        ({"task": "classification", "num_classes": 3, "multi_label": True}, 3),
        ({"task": "regression", "num_classes": "NA"}, 2),
    ],
    ids=["binary", "multiclass", "multilabel", "regression"],
)
def test_each_task_has_its_number_of_outputs(architecture: str, task: dict[str, Any], n_out: int) -> None:
    if architecture == "TransformerED":
        task, n_out = {}, 2
    output = build_network(make_state(architecture, **task))(torch.randn(2, 5, 2))
    assert output.shape == ((2, n_out) if architecture == "Transformerseq2one" else (2, 5, n_out))


@pytest.mark.parametrize("d_model", [1, 2, 7, 8])
def test_positions_follow_the_formula_for_even_and_odd_widths(d_model: int) -> None:
    torch.testing.assert_close(positions(50, torch.zeros(d_model)), sinusoids(50, d_model), rtol=0, atol=1e-6)


def test_positions_are_exact_far_out() -> None:
    last = positions(100_001, torch.zeros(6))[100_000]
    angles = [100_000 / 10000 ** (2 * (i // 2) / 6) for i in range(6)]
    exact = torch.tensor([math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(angles)])
    torch.testing.assert_close(last, exact, rtol=0, atol=1e-6)


class LargestResult(TorchDispatchMode):
    """Notes how many numbers the largest tensor holds that any operation makes, and which masks attention gets."""

    def __init__(self) -> None:
        super().__init__()
        self.largest, self.masked = 0, []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        if func is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default:
            self.masked.append((kwargs or {}).get("attn_mask") is not None)
        return result


@each_architecture
@pytest.mark.parametrize("padded", [True, False], ids=["padded", "full"])
@pytest.mark.parametrize("d_model", [4, 9], ids=["even", "odd"])
def test_memory_of_a_training_step_is_linear_in_time(architecture: str, padded: bool, d_model: int) -> None:
    sizes = {"d_model": d_model, "nhead": 1, "dim_feedforward": 4, "num_encoder_layers": 1, "dropout": 0.1}
    network = build_network(make_state(architecture, **sizes))
    x, lengths = torch.randn(2, 700, 2), torch.tensor([700, 500 if padded else 700])
    with LargestResult() as seen:
        network(x, lengths, x).sum().backward()
    assert seen.largest <= 2 * 700 * 3 * d_model  # the projection to queries, keys and values
    causal = 2 if architecture == "TransformerED" else 0  # one for each decoder layer; they need no mask
    assert sum(seen.masked) == (len(seen.masked) - causal if padded else 0)


def test_only_padding_needs_a_mask() -> None:
    assert key_mask(torch.tensor([4, 4]), 4) is None
    mask = key_mask(torch.tensor([4, 2]), 4)
    assert mask is not None and mask[:, 0, 0].tolist() == [[True] * 4, [True, True, False, False]]


@pytest.mark.parametrize("architecture", ["Transformerseq2seq", "Transformerseq2one"])
def test_signals_longer_than_the_usual_table_of_positions_work(architecture: str) -> None:
    network = build_network(make_state(architecture, n_features=1, d_model=4, nhead=1)).eval()
    x = torch.randn(1, 5400, 1)
    with torch.no_grad():
        output = network(x)
        assert torch.isfinite(output).all()
        assert not torch.allclose(output, network(x.roll(2000, dims=1)))


@each_architecture
def test_order_in_time_matters(architecture: str) -> None:
    network = build_network(lively(make_state(architecture))).eval()
    x = torch.randn(1, 9, 2)
    output, flipped = network(x), network(x.flip(1))
    assert not torch.allclose(output, flipped if output.dim() == 2 else flipped.flip(1), atol=1e-3)


def test_every_output_of_seq2seq_sees_the_whole_signal() -> None:
    network = build_network(lively(make_state("Transformerseq2seq", d_model=4, nhead=1)))
    x = torch.randn(1, 9, 2, requires_grad=True)
    (seen,) = torch.autograd.grad(network(x)[0, 0].sum(), x)
    assert seen.abs().sum(dim=2).gt(0).all()


@pytest.mark.parametrize("lengths", [LENGTHS, torch.full((4,), 11)], ids=["mixed", "equal"])
@pytest.mark.parametrize("nhead", [1, 3])
@pytest.mark.parametrize("num_decoder_layers", [1, 3])
def test_generation_is_the_taught_pass_on_its_own_outputs(nhead: int, num_decoder_layers: int, lengths: Tensor) -> None:
    network = build_network(
        lively(make_state("TransformerED", nhead=nhead, num_decoder_layers=num_decoder_layers))
    ).eval()
    x = torch.randn(4, 11, 2)
    generated = network(x, lengths)
    torch.testing.assert_close(generated, network(x, lengths, generated), rtol=1e-5, atol=1e-5)
    assert generated[:, 1:].ne(0).any()


@pytest.fixture
def encoder_decoder() -> Network:
    return build_network(lively(make_state("TransformerED")))


def test_generation_carries_no_gradient_and_leaves_the_network_trainable(encoder_decoder: Network) -> None:
    x = torch.randn(2, 6, 2)
    generated = encoder_decoder(x)
    assert not generated.requires_grad
    encoder_decoder(x, None, generated).square().mean().backward()
    assert all(parameter.grad is not None for parameter in encoder_decoder.parameters())


def test_a_taught_step_sees_only_targets_before_it(encoder_decoder: Network) -> None:
    x, target = torch.randn(2, 1, 8, 2)
    changed = target.clone()
    changed[:, 5:] += 1
    before, after = encoder_decoder(x, None, target), encoder_decoder(x, None, changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_generation_reads_the_whole_signal_but_no_padding(encoder_decoder: Network) -> None:
    x, lengths = torch.randn(1, 8, 2), torch.tensor([6])
    first = encoder_decoder(x, lengths)
    for step, matters in ((5, True), (6, False)):
        nudged = x.clone()
        nudged[:, step] += 1
        assert torch.allclose(encoder_decoder(nudged, lengths)[:, 0], first[:, 0]) != matters


@pytest.mark.parametrize("target", [True, False], ids=["taught", "generated"])
def test_encoder_decoder_runs_in_double_and_in_bfloat16_autocast(encoder_decoder: Network, target: bool) -> None:
    x, lengths = torch.randn(2, 6, 2), torch.tensor([6, 4])
    teacher = x.cumsum(1) if target else None
    single = encoder_decoder(x, lengths, teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(encoder_decoder(x, lengths, teacher).float(), single, rtol=0.2, atol=0.2)
    double = encoder_decoder.double()(x.double(), lengths, None if teacher is None else teacher.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-4, atol=1e-4)


ERRORS: list[tuple[str, Any, type[Exception], str]] = [
    *((name, 0, ValueError, f"{name}=0; expected an integer of at least 1") for name in SIZES["TransformerED"]),
    *((name, 2.0, TypeError, f"{name}=2.0 is a float") for name in SIZES["TransformerED"]),
    ("nhead", 5, ValueError, "nhead=5 does not divide d_model=12"),
    ("dropout", 1.0, ValueError, r"dropout=1.0; expected a finite number in \[0, 1\)"),
    ("dropout", -0.1, ValueError, "dropout=-0.1"),
    ("dropout", [0.1], TypeError, "dropout=.* is a list"),
    ("learning_rate", 0, ValueError, "learning_rate=0"),
    ("learning_rate", "1e-3", TypeError, "learning_rate='1e-3' is a str"),
    ("model_name", "", ValueError, "model_name is empty"),
    ("seed", -1, ValueError, "seed=-1"),
    ("task", "regresion", ValueError, "task='regresion'.*Did you mean 'regression'"),
    ("num_classes", 0, ValueError, "num_classes=0"),
    ("num_classes", None, TypeError, "num_classes=None"),
    ("multi_label", 1, TypeError, "multi_label=1"),
]


@each_architecture
@pytest.mark.parametrize(("name", "value", "error", "words"), ERRORS)
def test_a_wrong_hyperparameter_is_named(
    architecture: str, name: str, value: Any, error: type[Exception], words: str
) -> None:
    factory = ARCHITECTURES[architecture].factory
    if name not in inspect.signature(factory).parameters:
        error, words = TypeError, "unexpected keyword argument"
    with pytest.raises(error, match=words):
        task = {} if architecture == "TransformerED" else {"task": "classification"}
        make_state(architecture, **(task | {name: value}))


@pytest.mark.parametrize("factory", [transformer_seq2seq, transformer_seq2one])
def test_regression_takes_no_classes(factory: Any) -> None:
    for wrong in ({"num_classes": 3}, {"multi_label": True}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            factory(n_features=1, d_model=4, nhead=1, dim_feedforward=4, task="regression", **wrong)


def test_hyperparameters_stand_in_the_order_of_their_table() -> None:
    state = transformer_encoder_decoder(n_features=1, d_model=4, nhead=2, dim_feedforward=8)
    assert list(state["hparams"]) == (
        "model_name n_features d_model nhead num_encoder_layers num_decoder_layers dim_feedforward dropout "
        "learning_rate"
    ).split()
    assert state["hparams"]["model_name"] == state["architecture"] == "TransformerED"


def test_small_heads_are_told_with_what_to_choose() -> None:
    sizes = {"n_features": 1, "dim_feedforward": 8}
    with pytest.warns(UserWarning, match="heads of size 12, slow below 16: choose nhead=3 or d_model=64") as caught:
        transformer_seq2one(d_model=48, nhead=4, **sizes)
    with pytest.warns(UserWarning, match="heads of size 5, slow below 16: choose nhead=2 or d_model=160"):
        transformer_seq2one(d_model=50, nhead=10, **sizes)
    with pytest.warns(UserWarning, match="heads of size 4, slow below 16: choose d_model=32"):
        transformer_seq2seq(d_model=8, nhead=2, **sizes)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transformer_encoder_decoder(d_model=32, nhead=2, **sizes)
        with undrawn():  # a model that is read has the heads it has
            transformer_seq2seq(d_model=8, nhead=2, **sizes)
