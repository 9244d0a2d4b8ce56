"""A GRU's training step and inference: this library against packed and padded nn.GRU, and ONNX Runtime.

The model is the published ECG peak detector's: three bidirectional layers, 1-32-64-64, and a linear layer; then three
layers of one size. All sides run in one process on the same threads; our steps and all inference take turns over all
shapes, so that what disturbs the machine for a while is in few runs of each. Medians, of a single run only where one
takes longer than 20 s, which "runs" tells. The limit is what the arithmetic of a step takes at the rate of the fastest
of several matrix products of this machine. Peak memory is that of a training step in a process of its own. Run `python
benchmarks/bench_recurrence.py --quick` (10 minutes), or without for the whole grid; `--tiny` shows that it works, and
no more.
"""

from __future__ import annotations

import argparse
import io
import math
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import timing
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import neurallib as nl

PUBLISHED = (32, 64, 64)


class PlainStack(nn.Module):
    """The plain way: one nn.GRU a layer, packed or not."""

    def __init__(self, hidden: Iterable[int], packed: bool) -> None:
        super().__init__()
        self.packed, self.gru_layers, n_in = packed, nn.ModuleList(), 1
        for h in hidden:
            self.gru_layers.append(nn.GRU(n_in, h, bidirectional=True, batch_first=True))
            n_in = 2 * h
        self.fc_out = nn.Linear(n_in, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        for gru in self.gru_layers:
            if self.packed:
                x = pad_packed_sequence(gru(pack_padded_sequence(x, lengths.cpu(), batch_first=True))[0], True)[0]
            else:
                x = gru(x)[0]
        return self.fc_out(x)


def onnx_runner(stack: nn.Module, x: Tensor, threads: int) -> Callable[[], Any] | None:
    """Inference of the padded stack in ONNX Runtime; None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    file = io.BytesIO()
    lengths = torch.full((len(x),), x.shape[1])
    inputs, names = (x, lengths), ["x", "lengths"]
    torch.onnx.export(stack, inputs, file, input_names=names, output_names=["y"], dynamo=False, opset_version=17)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {"x": x.numpy()}
    return lambda: session.run(None, feed)


def flops(state: nl.State, n_signals: int, n_steps: int) -> float:
    """Of a training step: two a weight, step and signal forward, and twice that backward."""
    return 6.0 * n_signals * n_steps * sum(w.numel() for w in state["weights"].values() if w.dim() == 2)


class Sides(NamedTuple):
    """What runs of one shape: training steps and inference, by side."""

    shape: dict[str, Any]
    steps: dict[str, Callable[[], Any]]
    inference: dict[str, Callable[[], Any]]
    flops: float


def sides_of(hidden: tuple[int, ...], n_signals: int, n_steps: int, slow: bool, device: str) -> Sides:
    """One row of the table, not measured yet. `slow`: with the packed and padded sides."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=list(hidden), n_layers=3, bidirectional=True)
    networks: dict[str, nn.Module] = {"neurallib": nl.build_network(state, device)}
    for name, packed in (("padded", False), ("packed", True)):
        networks[name] = PlainStack(hidden, packed).to(device)
        networks[name].load_state_dict(state["weights"])
    x = torch.randn(n_signals, n_steps, 1, device=device)
    lengths = torch.full((n_signals,), n_steps, device=device)
    batch = nl.Batch(x=x, y=(x > 0).float(), lengths=lengths)
    loss = nl.loss_function(state)

    def step(network: nn.Module) -> Callable[[], None]:
        optimizer, _ = nl.make_optimizer(network, state["hparams"])

        def run() -> None:
            optimizer.zero_grad()
            loss(network(x, lengths), batch["y"], lengths).backward()
            optimizer.step()

        return run

    def infer(network: nn.Module) -> Callable[[], Any]:
        def run() -> Any:
            with torch.inference_mode():
                return network(x, lengths)

        return run

    shown = {name: network for name, network in networks.items() if slow or name == "neurallib"}
    inference = {name: infer(network) for name, network in shown.items()}
    onnx = onnx_runner(networks["padded"].eval(), x, torch.get_num_threads()) if device == "cpu" else None
    if onnx is not None:
        inference["onnx"] = onnx
    shape = {"hidden": "-".join(map(str, hidden)), "B": n_signals, "T": n_steps}
    steps = {name: step(network) for name, network in shown.items()}
    return Sides(shape, steps, inference, flops(state, n_signals, n_steps))


def measured(grid: list[Sides]) -> list[dict[str, Any]]:
    """The table, each row told as it is there."""
    ours = timing.alternating({str(i): sides.steps["neurallib"] for i, sides in enumerate(grid)}, 11)
    inferred = timing.alternating(
        {f"{i} {name}": run for i, sides in enumerate(grid) for name, run in sides.inference.items()}, 5
    )
    rows = []
    for i, sides in enumerate(grid):
        row = sides.shape | {"step": ours[str(i)]}
        for name, (value, runs) in timing.affordable(
            {name: run for name, run in sides.steps.items() if name != "neurallib"}
        ).items():
            row |= {f"step {name}": value, f"{name} runs": runs, f"{name}/ours": value / row["step"]}
        row["infer"] = inferred[f"{i} neurallib"]
        row |= {f"infer {name}": inferred[f"{i} {name}"] for name in sides.inference if name != "neurallib"}
        if "onnx" in sides.inference:
            row["onnx/ours"] = row["infer onnx"] / row["infer"]
        rows.append(row | {"GFLOP/s": sides.flops / row["step"] / 1e9})
        timing.say(timing.table(rows[-1:]))
    return rows


def peak_memory(side: str, n_signals: int, n_steps: int) -> float:
    """MB by which a training step raises the peak of its process."""
    torch.set_num_threads(2)
    state = nl.gru_seq2seq(n_features=1, hid_dim=list(PUBLISHED), n_layers=3, bidirectional=True)
    network: nn.Module = nl.build_network(state) if side == "neurallib" else PlainStack(PUBLISHED, packed=False)
    loss, before = nl.loss_function(state), 0.0
    for n in (10, n_steps):  # the first compiles, and imports what torch imports late
        x = torch.randn(n_signals, n, 1)
        before = _peak()
        lengths = torch.full((n_signals,), n)
        loss(network(x, lengths), (x > 0).float(), lengths).backward()
    return (_peak() - before) / 1024


def _peak() -> float:
    """KB; from Linux's files, because what getrusage tells is also of the process that started this one."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
    except (OSError, StopIteration):
        return math.nan


def exponent(rows: list[dict[str, Any]], by: str, of: str) -> float:
    """The slope of log time over log size, by least squares."""
    points = [(math.log(row[by]), math.log(row[of])) for row in rows]
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def plot(rows: list[dict[str, Any]], peak: float, product: str, path: Path) -> None:
    """Time of a training step against T, for batch 1 of the published shape; medians alone."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator, StrMethodFormatter

    figure = Figure(figsize=(7, 4.8), layout="constrained")
    axes = figure.add_subplot()
    rows = sorted(rows, key=lambda row: row["T"])
    for name, side, colour in (
        ("packed nn.GRU", "packed", "#8a8a8a"), ("padded nn.GRU", "padded", "#d95f02"), ("neurallib", "", "#1f5fa8")
    ):  # fmt: skip
        shown = [row for row in rows if not side or row.get(f"{side} runs", 0) >= 3]
        seconds = [row[f"step {side}".strip()] for row in shown]
        axes.loglog([row["T"] for row in shown], seconds, "o-", color=colour, label=name)
    limit = [row["step"] * row["GFLOP/s"] * 1e9 / peak for row in rows]
    label = f"the same arithmetic at the rate of\n{product}, the fastest product here"
    axes.loglog([row["T"] for row in rows], limit, "--", color="0.3", label=label)
    axes.set(xlabel="time steps of the signal", ylabel="seconds a training step")
    axes.set_title("GRU of three bidirectional layers, 1-32-64-64, one signal a step", fontsize=11)
    axes.set_xticks([row["T"] for row in rows], [f"{row['T']:,}" for row in rows])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g} s"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", alpha=0.3)
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=110)


def grid_of(arguments: argparse.Namespace) -> list[tuple[tuple[int, ...], int, int, bool]]:
    """Shape, signals, steps, and whether the slow sides run too."""
    if arguments.tiny:
        return [(PUBLISHED, b, n, True) for b, n in ((1, 50), (1, 100), (8, 100))]
    if arguments.quick:
        grid = [(PUBLISHED, 1, n, n <= 5400) for n in (675, 1350, 2700, 5400, 10800, 21600)]
        grid += [(PUBLISHED, 8, 675, True), (PUBLISHED, 8, 5400, True), (PUBLISHED, 32, 5400, False)]
        return [*grid, ((128, 128, 128), 32, 1350, False)]
    shapes = [PUBLISHED, *((h, h, h) for h in (32, 64, 128))]
    lengths = (675, 1350, 2700, 5400, 10800, 21600)
    return [(s, b, n, n * b <= 5400 * 8) for s in shapes for b in (1, 8, 32) for n in lengths]


def exponents(single: list[dict[str, Any]], by_batch: list[dict[str, Any]]) -> dict[str, float]:
    """How time grows with the number of steps of one signal, and with the number of signals of as many steps."""
    packed = [row for row in single if row.get("packed runs", 0) >= 3]
    of = {
        "exponent in T, step": (single, "T", "step"),
        "exponent in T, inference": (single, "T", "infer"),
        "exponent in B, step": (by_batch, "B", "step"),
        "exponent in B, inference": (by_batch, "B", "infer"),
        "exponent in T, packed step": (packed, "T", "step packed"),
    }
    return {name: exponent(*what) for name, what in of.items() if len(what[0]) > 1}


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller grid, in 10 minutes")
    parser.add_argument("--tiny", action="store_true", help="sizes that tell nothing: does it run?")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plot", type=Path, help="where to draw time against T")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    peak, product = timing.matrix_peak(arguments.device, *([(256,), 3] if arguments.tiny else []))
    timing.say(f"The fastest matrix product: {product}, {peak / 1e9:.3g} GFLOP/s")
    rows = measured([sides_of(*shape, arguments.device) for shape in grid_of(arguments)])
    single = [row for row in rows if row["B"] == 1 and row["hidden"] == "32-64-64"]
    longest = 100 if arguments.tiny else 5400
    by_batch = [row for row in rows if row["T"] == longest and row["hidden"] == "32-64-64"]
    summary: dict[str, Any] = {
        **exponents(single, by_batch),
        "matrix-product peak, GFLOP/s": peak / 1e9,
        "matrix product": product,
        "times the limit": {f"{r['hidden']} B={r['B']} T={r['T']}": peak / 1e9 / r["GFLOP/s"] for r in rows},
    }
    if arguments.device == "cpu" and not arguments.tiny:
        for side in ("neurallib", "padded nn.GRU"):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                summary[f"peak memory of a step, B=8 T=2700, {side}, MB"] = pool.submit(
                    peak_memory, side, 8, 2700
                ).result()
    timing.say("\n".join(f"{name}: {value:.3g}" for name, value in summary.items() if isinstance(value, float)))
    timing.report(rows, benchmark="recurrence", **timing.machine(arguments.device), **summary)
    if arguments.plot is not None:
        plot(single, peak, product, arguments.plot)


if __name__ == "__main__":
    main()
