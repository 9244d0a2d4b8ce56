"""ONNX graphs put together by expressions: nodes and the constants they read, masks, linear layers, loops, models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Value = str | np.ndarray | float | int | list[int]  # what a node reads: another's output by name, or a constant

OPSET = 18
IR_VERSION = 8  # of the first onnx with that opset: an older runtime reads what a newer onnx has written
FLOAT, INT32, INT64, BOOL, DOUBLE = 1, 6, 7, 9, 11  # of onnx.TensorProto, which is imported when it is asked for


class Graph:
    """Nodes in their order and the constants that they read; `graph("Add", a, 1.0)` appends one and names its output.
    A loop's body shares the constants and names of the graph around it, `outer`."""

    def __init__(self, outer: Graph | None = None) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = outer.constants if outer else {}
        self._count: list[int] = outer._count if outer else [0]

    def __call__(self, kind: str, *inputs: Value, **attributes: Any) -> str:
        return self.several(1, kind, *inputs, **attributes)[0]

    def several(self, n_outputs: int, kind: str, *inputs: Value, **attributes: Any) -> list[str]:
        """Append a node of several outputs, and name them."""
        from onnx import helper

        outputs = [self.name(kind) for _ in range(n_outputs)]
        self.nodes.append(helper.make_node(kind, [self._named(value) for value in inputs], outputs, **attributes))
        return outputs

    def name(self, kind: str) -> str:
        """A name that nothing has yet."""
        self._count[0] += 1
        return f"{kind.lower()}_{self._count[0]}"

    def _named(self, value: Value) -> str:
        if isinstance(value, str):
            return value
        array = np.asarray(value, dtype=np.float32 if isinstance(value, float) else None)
        name = self.name("constant")
        self.constants[name] = array
        return name


def n_steps(g: Graph, x: str) -> str:
    """T of [B, T, ...], int64 scalar."""
    return g("Squeeze", g("Shape", x, start=1, end=2))


def valid_mask(g: Graph, x: str, lengths: str) -> str:
    """Where the padded batch `x` [B, T, C] holds signal: [B, T, 1] bool."""
    steps = g("Range", 0, n_steps(g, x), 1)
    return g("Unsqueeze", g("Less", steps, g("Unsqueeze", lengths, [1])), [2])


def as_double(g: Graph, x: str) -> str:
    """`x` as float64."""
    return g("Cast", x, to=DOUBLE)


def linear(g: Graph, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
    """A linear layer [..., H] -> [..., K]."""
    return g("Add", g("MatMul", x, np.ascontiguousarray(weight.T)), bias)


def loop(
    g: Graph,
    n_times: str,
    first: Sequence[str],
    shapes: Sequence[list[Any]],
    step: Callable[..., tuple[list[str], str]],
    kind: int = FLOAT,
) -> str:
    """Repeat a step `n_times` with what it hands on, first the values `first` of these shapes; the outputs of all.

    `step(graph, number, *values)` gives the next values and the output of this time; outputs are stacked in front.
    """
    from onnx import helper

    body = Graph(g)
    names = [body.name("state") for _ in first]
    number, going_on = body.name("number"), body.name("condition")
    values, output = step(body, number, *names)
    inputs = [
        helper.make_tensor_value_info(number, INT64, []),
        helper.make_tensor_value_info(going_on, BOOL, []),
        *(helper.make_tensor_value_info(n, kind, s) for n, s in zip(names, shapes, strict=True)),
    ]
    outputs = [
        helper.make_tensor_value_info(body("Identity", going_on), BOOL, []),
        *(helper.make_tensor_value_info(body("Identity", v), kind, s)
          for v, s in zip(values, shapes, strict=True)),
        helper.make_tensor_value_info(body("Identity", output), kind, shapes[0]),
    ]  # fmt: skip
    inner = helper.make_graph(body.nodes, body.name("body"), inputs, outputs)
    return g.several(len(first) + 1, "Loop", n_times, np.array(True), *first, body=inner)[-1]


class Port(NamedTuple):
    """An input of a model, or an output and the value that it is."""

    shape: list[Any]
    kind: int = FLOAT
    value: str = ""


def model_of(g: Graph, inputs: Mapping[str, Port], outputs: Mapping[str, Port], told: Mapping[str, str]) -> Any:
    """The whole model, and what its metadata tell."""
    from onnx import helper, numpy_helper

    given, made = (
        [helper.make_tensor_value_info(name, port.kind, port.shape) for name, port in ports.items()]
        for ports in (inputs, outputs)
    )
    nodes = [*g.nodes, *(helper.make_node("Identity", [port.value], [name]) for name, port in outputs.items())]
    constants = [numpy_helper.from_array(value, name) for name, value in g.constants.items()]
    graph = helper.make_graph(nodes, "neurallib", given, made, constants)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="neurallib")
    helper.set_model_props(model, dict(told))
    return model
