"""Which path the recurrence takes: the kernels or torch's own GRU."""

import ast
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from recurrence_cases import LENGTHS, directions_of, packed
from torch import Tensor, nn

from neurallib.recurrence import layer as recurrence_layer
from neurallib.recurrence import torch_state
from neurallib.recurrence.layer import Direction, gru_layer, use_path


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_runs_the_kernel_in_float32(dtype: torch.dtype) -> None:
    gru = nn.GRU(3, 4, batch_first=True)
    x, lengths = torch.randn(5, 11, 3).to(dtype), torch.tensor(LENGTHS)
    with torch.autocast("cpu", dtype), use_path("numba"):
        output, _ = gru_layer(x, lengths, directions_of(gru))
    output.sum().backward()
    assert output.dtype == torch.float32 and gru.weight_hh_l0.grad is not None
    expected, _ = packed(gru, x.float(), lengths, torch.zeros(1, 5, 4))
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("n_units", "n_signals", "n_directions"), [(512, 4, 1), (512, 5, 1), (512, 1, 2), (400, 1, 1)])
def test_torch_infers_where_one_core_has_to_stream_all_weights(n_units: int, n_signals: int, n_directions: int) -> None:
    pytest.importorskip("numba")
    gru = nn.GRU(1, n_units, bidirectional=n_directions == 2)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    layer = [
        Direction(*(getattr(gru, name + suffix) for name in names))
        for suffix in ("", "_reverse")[:n_directions]
    ]
    x, lengths, outputs = torch.randn(n_signals, 3, 1), torch.full((n_signals,), 3), {}
    with torch.no_grad():
        for path in ("auto", "torch", "numba"):
            with use_path(path):
                outputs[path] = gru_layer(x, lengths, layer)[0]
    taken = "torch" if (n_units, n_signals, n_directions) == (512, 4, 1) else "numba"
    assert torch.equal(outputs["auto"], outputs[taken])
    assert not torch.equal(outputs["torch"], outputs["numba"])  # or the line above would say nothing
    assert type(gru_layer(x, lengths, layer)[0].grad_fn).__name__ == "_LayerBackward"  # they learn in the kernels


@pytest.mark.parametrize("learning", [True, False])
def test_torchs_gru_is_told_whether_gradients_follow(learning: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told, gru = [], torch.gru  # on a GPU, which this machine may not have, there are none otherwise
    monkeypatch.setattr(torch, "gru", lambda *given: told.append(given[6]) or gru(*given))
    layer = nn.GRU(3, 4, bidirectional=True, batch_first=True)
    with use_path("torch"), torch.set_grad_enabled(learning):
        gru_layer(torch.randn(5, 11, 3), torch.tensor(LENGTHS), directions_of(layer))
    assert told == [learning, learning]


def test_forcing_the_kernel_says_why_it_cannot_run() -> None:
    gru = nn.GRU(3, 4, batch_first=True).double()
    with use_path("numba"), pytest.raises(RuntimeError, match="float64"):
        gru_layer(torch.randn(1, 2, 3).double(), torch.tensor([2]), directions_of(gru))


def test_an_unknown_path_is_refused() -> None:
    with pytest.raises(ValueError, match="numba"), use_path("nubma"):
        pass


@pytest.mark.skipif(torch.__version__ < "2.12", reason="older: cannot be told from an export, which unrolls")
def test_compiled_networks_do_not_unroll_their_steps() -> None:
    layer = [Direction(*nn.GRU(4, 3).parameters())]
    x, lengths = torch.randn(2, 2000, 4), torch.tensor([2000, 3])
    compiled = torch.compile(lambda x, lengths: gru_layer(x, lengths, layer)[0] * 2, backend="eager")
    assert torch.equal(compiled(x, lengths), gru_layer(x, lengths, layer)[0] * 2)


def test_forward_mode_takes_the_torch_path() -> None:
    layer = [Direction(*(p.detach().double() for p in nn.GRU(4, 3).parameters()))]
    with torch.autograd.forward_ad.dual_level():
        assert recurrence_layer._obstacle([layer[0].weight_ih.float()]) is not None
    assert recurrence_layer._obstacle([layer[0].weight_ih.float()]) is None


def test_more_than_a_tensor_or_a_compiler_that_is_switched_off_takes_the_torch_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Own(torch.Tensor):
        pass

    assert recurrence_layer._obstacle([torch.zeros(2), torch.zeros(2).as_subclass(Own)]) == "a tensor is a Own"
    assert recurrence_layer._obstacle([torch.zeros(2).bfloat16()]) == "a tensor is torch.bfloat16"
    monkeypatch.setattr(pytest.importorskip("numba").config, "DISABLE_JIT", 1)
    assert recurrence_layer._load_kernel.__wrapped__() is None


def test_without_numba_it_warns_once_and_is_still_right() -> None:
    code = """
import sys, warnings
sys.modules["numba"] = None
import torch
from neurallib.recurrence.layer import Direction, gru_layer
gru = torch.nn.GRU(2, 3, batch_first=True)
x = torch.randn(2, 4, 2)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        output, _ = gru_layer(x, torch.tensor([4, 4]), [Direction(*gru.parameters())])
torch.testing.assert_close(output, gru(x)[0])
assert [("neurallib[fast]" in str(one.message)) for one in caught] == [True], caught
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_torch_func_and_tracing_take_the_torch_path() -> None:
    gru = nn.GRU(2, 3, batch_first=True)
    weights = [weight.detach() for weight in gru.parameters()]
    x, lengths = torch.randn(2, 4, 2), torch.tensor([4, 2])

    def total(x: Tensor) -> Tensor:
        return gru_layer(x, lengths, [Direction(*weights)])[0].sum()

    slope = torch.func.grad(total)(x)
    x.requires_grad_()
    torch.testing.assert_close(slope, torch.autograd.grad(total(x), x)[0], rtol=1e-4, atol=1e-6)
    assert "gru" in str(torch.jit.trace(total, x.detach(), check_trace=False).graph)


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch without the private names, for those who ask it through `torch_state`."""

    class Core:
        """torch._C, as seen from there."""

    known = {name: getattr(torch, name) for name in ("Tensor", "autograd")}
    monkeypatch.setattr(torch_state, "torch", types.SimpleNamespace(_C=Core, **known))
    ways = types.SimpleNamespace(unpack_dual=torch.autograd.forward_ad.unpack_dual)
    monkeypatch.setattr(torch_state, "forward_ad", ways)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_a_torch_without_the_private_names_takes_the_same_paths(nameless: None) -> None:
    pytest.importorskip("numba")
    gru, x, lengths = nn.GRU(2, 3, batch_first=True), torch.randn(2, 4, 2), torch.tensor([4, 2])
    weights = [weight.detach() for weight in gru.parameters()]
    took = []

    def total(x: Tensor) -> Tensor:
        took.append(recurrence_layer._kernel_for([x, *weights]) is not None)
        return gru_layer(x, lengths, [Direction(*weights)])[0].sum()

    expected = torch.autograd.grad(total(x.requires_grad_()), x)[0]
    x = x.detach()
    assert took == [True]
    torch.testing.assert_close(torch.func.grad(total)(x), expected, rtol=1e-4, atol=1e-6)
    slope = torch.func.jvp(total, (x,), (torch.ones_like(x),))[1]
    torch.testing.assert_close(slope, expected.sum(), rtol=1e-4, atol=1e-5)
    with torch.autograd.forward_ad.dual_level():
        dual = total(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))
        slope = torch.autograd.forward_ad.unpack_dual(dual).tangent
    torch.testing.assert_close(slope, expected.sum(), rtol=1e-4, atol=1e-5)
    assert "gru" in str(torch.jit.trace(total, x, check_trace=False).graph)
    assert took == [True, False, False, False, False]


def test_private_names_of_torch_are_asked_in_one_place() -> None:
    package = Path(inspect.getfile(recurrence_layer)).parents[1]
    private = {"_modules", "_parameters", "_buffers", "_current_level"}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())) if path.name != "torch_state.py" else ():
            if isinstance(node, ast.Attribute):
                root, *parts = ast.unparse(node).split(".")
                assert root != "torch" or not any(re.match("_[^_]", part) for part in parts), ast.unparse(node)
                assert node.attr not in private, f"{path.name}: {ast.unparse(node)}"
