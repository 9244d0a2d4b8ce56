"""The recurrence's paths against torch's own nn.GRU on packed sequences."""

import hashlib
import inspect
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from neurallib.recurrence import layer as recurrence
from neurallib.recurrence.layer import Direction, gru_generate, gru_layer, use_path

LENGTHS = [11, 3, 1, 7, 11]


def directions_of(gru: nn.GRU) -> list[Direction]:
    weights = list(gru.parameters())
    return [Direction(*weights[i : i + 4]) for i in range(0, len(weights), 4)]


def packed(gru: nn.GRU, x: Tensor, lengths: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    output, h_n = gru(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), h0)
    return pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0], h_n


def gradients(outputs: tuple[Tensor, Tensor], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Of a weighted sum, so that every element counts in its own way."""
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(output.shape, generator=generator) for output in outputs]
    return torch.autograd.grad(outputs, inputs, weights)


def assert_near(ours: Tensor, theirs: Tensor, relative: float = 1e-4) -> None:
    assert (ours - theirs).norm() <= relative * theirs.norm() + 1e-6


@pytest.mark.parametrize("path", ["numba", "torch"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("n_inputs", "n_units", "lengths"),
    [
        (1, 1, [4]),
        (1, 32, [19]),
        (3, 5, LENGTHS),
        (2, 16, LENGTHS[:2]),
        (20, 33, LENGTHS * 5),
        (64, 64, [40, 600, 599] + [1] * 6),
        (5, 300, [9] * 11),
    ],
)
def test_layer_equals_packed_gru(
    path: str, bidirectional: bool, n_inputs: int, n_units: int, lengths: list[int]
) -> None:
    gru = nn.GRU(n_inputs, n_units, bidirectional=bidirectional, batch_first=True)
    x = torch.randn(len(lengths), max(lengths) + 2, n_inputs, requires_grad=True)
    h0 = torch.randn(1 + bidirectional, len(lengths), n_units, requires_grad=True)
    inputs = [x, h0, *gru.parameters()]
    theirs = packed(gru, x, torch.tensor(lengths), h0)
    with use_path(path):
        ours = gru_layer(x, torch.tensor(lengths), directions_of(gru), h0)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
    for mine, other in zip(gradients(ours, inputs), gradients(theirs, inputs), strict=True):
        assert_near(mine, other)
    with use_path(path), torch.no_grad():
        inference = gru_layer(x, torch.tensor(lengths), directions_of(gru), h0)
    for mine, other in zip(inference, ours, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)


def test_gradients_of_a_long_signal_stay_accurate() -> None:
    gru = nn.GRU(2, 16, bidirectional=True, batch_first=True)
    x, h0 = torch.randn(1, 5400, 2, requires_grad=True), torch.zeros(2, 1, 16)
    inputs = [x, *gru.parameters()]
    exact = gru.double()(x.double(), h0.double())
    expected = gradients(exact, inputs)
    gru.float()
    with use_path("numba"):
        ours = gru_layer(x, torch.tensor([5400]), directions_of(gru), h0)
    torch.testing.assert_close(ours[0], exact[0].float(), rtol=0, atol=1e-5)
    for mine, other in zip(gradients(ours, [x, *gru.parameters()]), expected, strict=True):
        assert_near(mine, other.float())


@pytest.mark.parametrize(("gate", "bias"), [(0, -12.0), (0, 8.0), (1, -12.0), (1, -18.0), (1, 6.0)])
def test_gradients_of_a_gate_that_is_nearly_closed_are_as_accurate_as_torchs(gate: int, bias: float) -> None:
    pytest.importorskip("numba")
    gru = torch.nn.GRU(4, 32, batch_first=True)
    rows = slice(32 * gate, 32 * gate + 32)
    with torch.no_grad():
        gru.bias_ih_l0[rows] = bias
    x, out_weights = torch.randn(4, 50, 4), torch.randn(4, 50, 32)

    def gradient(path: str, dtype: torch.dtype) -> torch.Tensor:
        weights = [parameter.detach().to(dtype).requires_grad_() for parameter in gru.parameters()]
        with recurrence.use_path(path):
            output = recurrence.gru_layer(x.to(dtype), torch.full((4,), 50), [recurrence.Direction(*weights)])[0]
        return torch.autograd.grad((output * out_weights.to(dtype)).sum(), weights[1])[0][rows].double()

    exact = gradient("torch", torch.float64)
    errors = [(gradient(path, torch.float32) - exact).norm() / exact.norm() for path in ("torch", "numba")]
    assert errors[1] < 3 * errors[0] + 1e-6


def test_float64_passes_gradcheck() -> None:
    gru = nn.GRU(2, 3, bidirectional=True, batch_first=True).double()
    x = torch.randn(3, 5, 2, dtype=torch.float64, requires_grad=True)
    h0 = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    weights = [weight.detach().requires_grad_() for weight in gru.parameters()]

    def run(x: Tensor, h0: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        return gru_layer(x, torch.tensor([5, 1, 3]), [Direction(*weights[:4]), Direction(*weights[4:])], h0)

    assert torch.autograd.gradcheck(run, (x, h0, *weights))


def test_kernel_gradients_can_be_differentiated_again() -> None:
    gru = nn.GRU(2, 3, batch_first=True)
    x, lengths = torch.randn(2, 4, 2, requires_grad=True), torch.tensor([4, 2])
    penalties = []
    for path in ("numba", "torch"):
        with use_path(path):
            output, _ = gru_layer(x, lengths, directions_of(gru))
            (slope,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
            penalties.append(torch.autograd.grad(slope.square().sum(), [x, gru.weight_hh_l0]))
    for mine, other in zip(*penalties, strict=True):
        assert_near(mine, other)


def test_backward_twice_through_one_graph_gives_the_same() -> None:
    gru = nn.GRU(2, 3, batch_first=True)
    with use_path("numba"):
        output, _ = gru_layer(torch.randn(2, 4, 2), torch.tensor([4, 2]), directions_of(gru))
    loss = output.square().sum()
    first = torch.autograd.grad(loss, list(gru.parameters()), retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, list(gru.parameters())), first, rtol=0, atol=0)


def test_only_the_gradients_asked_for_are_given() -> None:
    gru = nn.GRU(2, 3, batch_first=True)
    gru.weight_ih_l0.requires_grad_(False)
    x = torch.randn(2, 4, 2)
    with use_path("numba"):
        gru_layer(x, torch.tensor([4, 2]), directions_of(gru))[0].sum().backward()
    assert gru.weight_ih_l0.grad is None and x.grad is None
    expected = gru.weight_hh_l0.grad
    gru.zero_grad()
    packed(gru, x, torch.tensor([4, 2]), torch.zeros(1, 2, 3))[0].sum().backward()
    assert expected is not None and gru.weight_hh_l0.grad is not None
    assert_near(expected, gru.weight_hh_l0.grad)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_come_out_as_they_do_in_torch(value: float) -> None:
    gru = nn.GRU(2, 5, batch_first=True)  # 5 units: the padded ones must not spread what they get
    x = torch.randn(3, 6, 2)
    x[1, 2, 0] = value
    h0, lengths = torch.zeros(1, 3, 5, requires_grad=True), torch.tensor([6, 6, 6])
    theirs = packed(gru, x, lengths, h0)
    with use_path("numba"):
        ours = gru_layer(x, lengths, directions_of(gru), h0)
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=1e-5, equal_nan=True)
    inputs = [h0, gru.weight_hh_l0, gru.bias_hh_l0]
    for mine, other in zip(gradients(ours, inputs), gradients(theirs, inputs), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5, equal_nan=True)


def test_values_in_the_padding_do_not_matter() -> None:
    gru = nn.GRU(2, 4, bidirectional=True, batch_first=True)
    x, lengths = torch.randn(5, 11, 2), torch.tensor(LENGTHS)
    spoilt = x.clone()
    for row, length in zip(spoilt, LENGTHS, strict=True):
        row[length:] = float("nan")
    with use_path("numba"):
        torch.testing.assert_close(
            gru_layer(spoilt, lengths, directions_of(gru)), gru_layer(x, lengths, directions_of(gru)), rtol=0, atol=0
        )


def test_non_contiguous_tensors_work() -> None:
    gru = nn.GRU(3, 4, batch_first=True)
    x, h0 = torch.randn(11, 3, 5).permute(2, 0, 1), torch.randn(5, 1, 4).transpose(0, 1)
    with use_path("numba"):
        output, _ = gru_layer(x, torch.tensor(LENGTHS), directions_of(gru), h0)
    expected, _ = packed(gru, x, torch.tensor(LENGTHS), h0.contiguous())
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        torch.autograd.grad(output.transpose(0, 1).sum(), gru.weight_hh_l0),
        torch.autograd.grad(expected.sum(), gru.weight_hh_l0),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


def test_autocast_runs_the_kernel_in_float32() -> None:
    gru = nn.GRU(3, 4, batch_first=True)
    x, lengths = torch.randn(5, 11, 3).bfloat16(), torch.tensor(LENGTHS)
    with torch.autocast("cpu", torch.bfloat16), use_path("numba"):
        output, _ = gru_layer(x, lengths, directions_of(gru))
    output.sum().backward()
    assert output.dtype == torch.float32 and gru.weight_hh_l0.grad is not None
    expected, _ = packed(gru, x.float(), lengths, torch.zeros(1, 5, 4))
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("n_units", "n_signals", "n_directions"), [(512, 4, 1), (512, 5, 1), (512, 1, 2), (400, 1, 1)])
def test_torch_infers_where_one_core_has_to_stream_all_weights(n_units: int, n_signals: int, n_directions: int) -> None:
    pytest.importorskip("numba")
    gru = torch.nn.GRU(1, n_units, bidirectional=n_directions == 2)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    layer = [
        recurrence.Direction(*(getattr(gru, name + suffix) for name in names))
        for suffix in ("", "_reverse")[:n_directions]
    ]
    x, lengths, outputs = torch.randn(n_signals, 3, 1), torch.full((n_signals,), 3), {}
    with torch.no_grad():
        for path in ("auto", "torch", "numba"):
            with recurrence.use_path(path):
                outputs[path] = recurrence.gru_layer(x, lengths, layer)[0]
    taken = "torch" if (n_units, n_signals, n_directions) == (512, 4, 1) else "numba"
    assert torch.equal(outputs["auto"], outputs[taken])
    assert not torch.equal(outputs["torch"], outputs["numba"])  # or the line above would say nothing


def test_forcing_the_kernel_says_why_it_cannot_run() -> None:
    gru = nn.GRU(3, 4, batch_first=True).double()
    with use_path("numba"), pytest.raises(RuntimeError, match="float64"):
        gru_layer(torch.randn(1, 2, 3).double(), torch.tensor([2]), directions_of(gru))


def test_an_unknown_path_is_refused() -> None:
    with pytest.raises(ValueError, match="numba"), use_path("nubma"):
        pass


@pytest.mark.parametrize("shape", [(0, 4, 2), (2, 0, 2)])
def test_empty_batches_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        gru_layer(torch.zeros(shape), torch.zeros(shape[0], dtype=torch.int64), directions_of(nn.GRU(2, 3)))


@pytest.mark.parametrize(
    ("lengths", "h0", "words"),
    [
        ([6, 2], (1, 2, 3), r"lengths=\[6, 2\]; expected each between 1 and 5"),
        ([0, 2], (1, 2, 3), r"lengths=\[0, 2\]"),
        ([5], (1, 2, 3), r"lengths has shape \(1,\); expected one length for each of 2 signals"),
        ([5, 2], (1, 1, 3), r"h0 \(1, 1, 3\) do not fit the weights; expected 4 features and h0 \(1, 2, 3\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(lengths: list[int], h0: tuple[int, ...], words: str) -> None:
    layer = [recurrence.Direction(*torch.nn.GRU(4, 3).parameters())]
    with pytest.raises(ValueError, match=words):
        recurrence.gru_layer(torch.randn(2, 5, 4), torch.tensor(lengths), layer, torch.zeros(h0))


def test_weights_that_do_not_fit_each_other_are_refused() -> None:
    weights = list(torch.nn.GRU(4, 3).parameters())
    with pytest.raises(ValueError, match=r"weights are \[\(9, 4\), \(9, 3\), \(6,\), \(9,\)\]; expected"):
        recurrence.gru_layer(
            torch.randn(2, 5, 4), torch.tensor([5, 2]), [recurrence.Direction(*weights[:2], weights[2][:6], weights[3])]
        )


def test_denormal_numbers_are_flushed_inside_and_left_alone_outside() -> None:
    pytest.importorskip("numba")
    gru = torch.nn.GRU(1, 4)
    for parameter in gru.parameters():
        torch.nn.init.zeros_(parameter)
    layer, h0 = [recurrence.Direction(*gru.parameters())], torch.ones(1, 1, 4)  # which halves at each step
    with torch.no_grad(), recurrence.use_path("numba"):
        output = recurrence.gru_layer(torch.zeros(1, 200, 1), torch.tensor([200]), layer, h0)[0]
    smallest = torch.finfo(torch.float32).tiny
    assert output[0, 120, 0] > smallest and output[0, 130, 0] == 0
    assert torch.tensor(smallest) / 4 != 0  # this thread is as it was


def run_script(script: str, **environment: str) -> str:
    pytest.importorskip("numba")
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=os.environ | environment, capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    return run.stdout + run.stderr


def test_one_thread_is_one_thread_and_a_late_one_can_predict() -> None:
    script = """
        import sys, threading, numpy as np, torch, neurallib as nl
        torch.set_num_threads({n})
        state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, bidirectional=True)
        def late():
            threading.main_thread().join()
            sys.stdout.write(str(nl.predict(state, [np.ones((9, 1), np.float32)])[0].shape))
        nl.predict(state, [np.ones((9, 1), np.float32)] * 3)
        sys.stdout.write(f"{{sum('neurallib' in thread.name for thread in threading.enumerate())}} ")
        threading.Thread(target=late).start()
    """
    assert run_script(script.format(n=1)) == "0 (9, 1)"
    assert run_script(script.format(n=2)) == "1 (9, 1)"


def test_without_a_folder_for_the_cache_it_warns_and_compiles() -> None:
    script = """
        import numba.core.caching as caching
        caching.CacheImpl._locator_classes = []  # as where neither the package nor the user's folder can be written
        import numpy as np, neurallib as nl
        from neurallib.recurrence import kernel
        print(kernel.linear.targetoptions.get("cache"), len(kernel.linear.signatures))
    """
    assert "Numba finds no folder for its cache" in run_script(script)


def test_compiled_networks_do_not_unroll_their_steps() -> None:
    layer = [recurrence.Direction(*torch.nn.GRU(4, 3).parameters())]
    x, lengths = torch.randn(2, 2000, 4), torch.tensor([2000, 3])
    compiled = torch.compile(lambda x, lengths: recurrence.gru_layer(x, lengths, layer)[0] * 2, backend="eager")
    assert torch.equal(compiled(x, lengths), recurrence.gru_layer(x, lengths, layer)[0] * 2)


def test_forward_mode_takes_the_torch_path() -> None:
    layer = [recurrence.Direction(*(p.detach().double() for p in torch.nn.GRU(4, 3).parameters()))]
    with torch.autograd.forward_ad.dual_level():
        assert recurrence._obstacle([layer[0].weight_ih.float()]) is not None
    assert recurrence._obstacle([layer[0].weight_ih.float()]) is None


def test_several_python_threads_may_run_it_at_once() -> None:
    gru = nn.GRU(2, 32, bidirectional=True, batch_first=True)
    batches = [torch.randn(5, 11, 2) for _ in range(8)]
    expected = [packed(gru, x, torch.tensor(LENGTHS), torch.zeros(2, 5, 32))[0] for x in batches]
    found: list[Tensor | None] = [None] * len(batches)

    def work(i: int) -> None:
        for _ in range(5):
            with use_path("numba"):
                found[i] = gru_layer(batches[i], torch.tensor(LENGTHS), directions_of(gru))[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)


def _in_process(queue: "multiprocessing.Queue[list[float]]", weights: list[list[float]]) -> None:
    gru = nn.GRU(1, 2, bidirectional=True, batch_first=True)
    with torch.no_grad():
        for parameter, values in zip(gru.parameters(), weights, strict=True):
            parameter.copy_(torch.tensor(values).view_as(parameter))
    with use_path("numba"):
        output, _ = gru_layer(torch.ones(1, 4, 1), torch.tensor([4]), directions_of(gru))
    queue.put(output.flatten().tolist())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_processes_may_run_it(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    gru = nn.GRU(1, 2, bidirectional=True, batch_first=True)
    with use_path("numba"):  # so that this process has its threads when it forks
        expected, _ = gru_layer(torch.ones(1, 4, 1), torch.tensor([4]), directions_of(gru))
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    weights = [parameter.flatten().tolist() for parameter in gru.parameters()]
    process = context.Process(target=_in_process, args=(queue, weights))
    process.start()
    found = queue.get(timeout=60)
    process.join(60)
    torch.testing.assert_close(torch.tensor(found), expected.flatten(), rtol=0, atol=1e-6)


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


@pytest.mark.parametrize("path", ["numba", "torch"])
@pytest.mark.parametrize(("n_layers", "n_features", "n_units", "linear"), [(1, 4, 4, False), (3, 2, 20, True)])
def test_generation_equals_stepping_gru(path: str, n_layers: int, n_features: int, n_units: int, linear: bool) -> None:
    grus = [nn.GRU(n_units if i else n_features, n_units, batch_first=True) for i in range(n_layers)]
    fc_out = nn.Linear(n_units, n_features) if linear else None
    h0, n_steps = torch.randn(n_layers, len(LENGTHS), n_units), max(LENGTHS)
    states, value, steps = [h[None] for h in h0], torch.zeros(len(LENGTHS), 1, n_features), []
    for _ in range(n_steps):
        for i, gru in enumerate(grus):
            value, states[i] = gru(value, states[i])
        value = fc_out(value) if fc_out else value
        steps.append(value)
    expected = torch.cat(steps, dim=1)
    for row, length in zip(expected, LENGTHS, strict=True):
        row.data[length:] = 0
    layers = [directions_of(gru)[0] for gru in grus]
    weights = (fc_out.weight, fc_out.bias) if fc_out else (None, None)
    with use_path(path):
        output = gru_generate(layers, *weights, h0, torch.tensor(LENGTHS), n_steps)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)
    assert not output.requires_grad


def test_kernel_names_the_code_it_is_built_from() -> None:
    kernel = pytest.importorskip("neurallib.recurrence.kernel")
    package = Path(inspect.getfile(recurrence)).parent
    source = (package / "vectors.py").read_bytes() + (package / "products.py").read_bytes()
    assert kernel.BUILT_FROM == hashlib.sha256(source).hexdigest()[:16], "Numba's cache would keep the old code"


@pytest.mark.parametrize(("shape", "n_out"), [((1, 5400, 128), 1), ((3, 7, 5), 20), ((4, 3), 2), ((1, 1, 1), 1)])
def test_linear_layer_without_gradients_equals_torchs(shape: tuple[int, ...], n_out: int) -> None:
    x, weight, bias = torch.randn(shape), torch.randn(n_out, shape[-1]), torch.randn(n_out)
    expected = torch.nn.functional.linear(x, weight, bias)
    with torch.no_grad(), recurrence.use_path("numba"):
        torch.testing.assert_close(recurrence.linear(x, weight, bias), expected, rtol=1e-5, atol=1e-5)
    weight.requires_grad_()
    assert recurrence.linear(x, weight, bias).requires_grad
