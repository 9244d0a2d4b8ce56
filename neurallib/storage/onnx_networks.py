"""What each architecture computes, as ONNX nodes: from a normalized padded batch to logits, without dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from neurallib.state import Hparams
from neurallib.storage.onnx_graph import FLOAT, INT32, Graph, as_double, linear, loop, n_steps, valid_mask
from neurallib.tasks import n_outputs


class Batch(NamedTuple):
    """A padded batch within a graph, by the names of its values."""

    x: str  # [B, T, C], zero beyond a length
    lengths: str  # [B] int64
    mask: str  # [B, T, 1] bool


class Logits(NamedTuple):
    """What a network says, and the states that go on with the signal where it was given some."""

    value: str  # [B, T, K] or [B, K]
    states: list[str]  # [B, H] each


class Net(NamedTuple):
    """A network, and the graph that its layers become nodes of; its GRUs' matrices are kept in 8 bits where `int8`."""

    g: Graph
    weights: Mapping[str, np.ndarray]
    hparams: Hparams
    int8: bool

    def layer(self, name: str, x: str) -> str:
        """A linear layer [..., H] -> [..., K]."""
        return linear(self.g, x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def head(self, x: str) -> str:
        """The last layer, where there is one."""
        return self.layer("fc_out", x) if "fc_out.weight" in self.weights else x

    def zeros(self, x: str, size: int) -> str:
        """[B, size] for a batch x."""
        n_batch = self.g("Shape", x, start=0, end=1)
        return self.g("Expand", np.zeros((1, size), np.float32), self.g("Concat", n_batch, [1], axis=0))


def batch_of(g: Graph, x: str, lengths: str) -> Batch:
    """The batch, with zeros beyond the lengths: whatever stands there, nan included, is not looked at."""
    mask = valid_mask(g, x, lengths)
    return Batch(g("Where", mask, x, 0.0), lengths, mask)


def gru_seq2seq(net: Net, batch: Batch, states: list[str]) -> Logits:
    """Logits [B, T, K]."""
    x, _, states = _gru_stack(net, batch, states)
    return Logits(net.head(net.g("Transpose", x, perm=[1, 0, 2])), states)


def gru_seq2one(net: Net, batch: Batch, states: list[str]) -> Logits:
    """Logits [B, K]."""
    g = net.g
    x, pooled, states = _gru_stack(net, batch, states)
    x = g("Transpose", x, perm=[1, 0, 2])
    match net.hparams["pooling"]:
        case "last":
            steps = g("Range", 0, n_steps(g, x), 1)
            is_last = g("Equal", steps, g("Sub", g("Unsqueeze", batch.lengths, [1]), 1))
            pooled = g("ReduceSum", g("Where", g("Unsqueeze", is_last, [2]), x, 0.0), [1], keepdims=0)
        case "mean":
            pooled = _mean(g, x, batch)
        case "max":
            pooled = g("ReduceMax", g("Where", batch.mask, x, -np.inf), [1], keepdims=0)
    return Logits(net.head(pooled), states)


def gru_encoder_decoder(net: Net, batch: Batch, states: list[str]) -> Logits:
    """Outputs [B, T, K]: the decoder's own outputs are its next inputs, in a loop."""
    g, hparams = net.g, net.hparams
    x, encoded = g("Transpose", batch.x, perm=[1, 0, 2]), []
    for k in range(hparams["enc_layers"]):
        x, last = _gru(net, "encoder.", f"_l{k}", hparams["bidirectional"], x, batch.lengths)
        encoded.append(last)
    first, hidden, size = hparams["enc_layers"] - hparams["dec_layers"], hparams["dec_hid_dim"], n_outputs(hparams)
    start = []
    for k in range(hparams["dec_layers"]):
        state = encoded[max(0, first + k)]
        if f"bridge.{k}.weight" in net.weights:
            state = g("Tanh", net.layer(f"bridge.{k}", state))
        start.append(state)

    def step(body: Graph, number: str, value: str, *states: str) -> tuple[list[str], str]:
        inner, value, after = net._replace(g=body), body("Unsqueeze", value, [0]), []
        for k, state in enumerate(states):
            value, last = _gru(inner, "decoder.", f"_l{k}", False, value, None, state)
            after.append(last)
        value = inner.head(body("Squeeze", value, [0]))
        return [value, *after], value

    shapes = [["batch", size], *[["batch", hidden]] * len(start)]
    output = loop(g, n_steps(g, batch.x), [net.zeros(batch.x, size), *start], shapes, step)
    return Logits(g("Transpose", output, perm=[1, 0, 2]), [])


def transformer_seq2seq(net: Net, batch: Batch, states: list[str]) -> Logits:
    """Logits [B, T, K]."""
    y, memory, hidden = _encoded(net, batch)
    for i in range(net.hparams["num_decoder_layers"]):
        name = f"decoder.layers.{i}"
        y = _attended(net, f"{name}.self_attn", f"{name}.norm1", y, y, hidden)
        y = _attended(net, f"{name}.multihead_attn", f"{name}.norm2", y, memory, hidden)
        y = _feed_forward(net, name, 3, y)
    return Logits(net.layer("fc_out", y), [])


def transformer_seq2one(net: Net, batch: Batch, states: list[str]) -> Logits:
    """Logits [B, K]."""
    _, x, _ = _encoded(net, batch)
    return Logits(net.layer("fc_out", _mean(net.g, x, batch)), [])


def transformer_encoder_decoder(net: Net, batch: Batch, states: list[str]) -> Logits:
    """Outputs [B, T, K]: the decoder's own outputs are its next inputs, in a loop that keeps past keys and values."""
    g, hparams = net.g, net.hparams
    d, nhead, size = hparams["d_model"], hparams["nhead"], n_outputs(hparams)
    _, memory, hidden = _encoded(net, batch)
    positions = _positions(g, batch.x, d)
    layers = [f"decoder.layers.{i}" for i in range(hparams["num_decoder_layers"])]
    kept = [_projected(net, f"{name}.multihead_attn", memory, (1, 3)) for name in layers]
    projection = "target_projection" if "target_projection.weight" in net.weights else "input_projection"

    def step(body: Graph, number: str, value: str, *past: str) -> tuple[list[str], str]:
        inner = net._replace(g=body)
        y = body("Add", inner.layer(projection, value), body("Gather", positions, number, axis=0))
        y, after = body("Unsqueeze", y, [1]), []
        for i, name in enumerate(layers):
            own = _projected(inner, f"{name}.self_attn", y, (1, 3))
            own = [body("Concat", old, new, axis=2) for old, new in zip(past[2 * i : 2 * i + 2], own, strict=True)]
            y = _attended(inner, f"{name}.self_attn", f"{name}.norm1", y, own, None)
            y = _attended(inner, f"{name}.multihead_attn", f"{name}.norm2", y, kept[i], hidden)
            y = _feed_forward(inner, name, 3, y)
            after += own
        value = body("Squeeze", inner.layer("fc_out", y), [1])
        return [value, *after], value

    n_batch = g("Shape", batch.x, start=0, end=1)
    nothing = g("Expand", np.zeros((1, nhead, 0, d // nhead), np.float32), g("Concat", n_batch, [1, 1, 1], axis=0))
    shapes = [["batch", size], *[["batch", nhead, None, d // nhead]] * (2 * len(layers))]
    first = [net.zeros(batch.x, size), *[nothing] * (2 * len(layers))]
    output = loop(g, n_steps(g, batch.x), first, shapes, step)
    return Logits(g("Transpose", output, perm=[1, 0, 2]), [])


def quantized(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix as int8 with a float32 scale for each row."""
    scale = np.maximum(np.abs(weight).max(axis=1), np.finfo(np.float32).tiny * 127) / 127
    return np.rint(weight / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def _gru_stack(net: Net, batch: Batch, states: list[str]) -> tuple[str, str, list[str]]:
    """The last layer's output [T, B, D*H], its last states [B, D*H], and those of each layer."""
    x, lasts = net.g("Transpose", batch.x, perm=[1, 0, 2]), []
    for i, both in enumerate(net.hparams["bidir_per_layer"]):
        x, last = _gru(net, f"gru_layers.{i}.", "_l0", both, x, batch.lengths, states[i] if states else None)
        lasts.append(last)
    return x, lasts[-1], lasts


def _gru(
    net: Net, prefix: str, suffix: str, both: bool, x: str, lengths: str | None, first: str | None = None
) -> tuple[str, str]:
    """One GRU layer on [T, B, C], from zeros or states [B, H]: its output [T, B, D*H] and last states [B, D*H]."""
    g, ends = net.g, [f"{suffix}{reverse}" for reverse in ("", "_reverse")[: 1 + both]]
    kinds = [
        [_gates_in_order(net.weights[f"{prefix}{kind}{end}"]) for end in ends]
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    size = kinds[1][0].shape[1]
    matrices = [_in_8_bits(g, kind) if net.int8 else np.stack(kind) for kind in kinds[:2]]
    biases = np.stack([np.concatenate(pair) for pair in zip(*kinds[2:], strict=True)])
    last_lengths = g("Cast", lengths, to=INT32) if lengths else ""
    start = g("Unsqueeze", first, [0]) if first else ""
    output, last = g.several(
        2, "GRU", x, *matrices, biases, last_lengths, start, hidden_size=size, linear_before_reset=1,
        direction="bidirectional" if both else "forward",
    )  # fmt: skip
    output = g("Reshape", g("Transpose", output, perm=[0, 2, 1, 3]), [0, 0, size * (1 + both)])
    return output, g("Reshape", g("Transpose", last, perm=[1, 0, 2]), [0, size * (1 + both)])


def _in_8_bits(g: Graph, directions: list[np.ndarray]) -> str:
    """[D, 3H, C], what becomes of int8 weights where the model runs."""
    each = [g("DequantizeLinear", *quantized(weight), axis=0) for weight in directions]
    return g("Concat", *(g("Unsqueeze", weight, [0]) for weight in each), axis=0)


def _gates_in_order(weight: np.ndarray) -> np.ndarray:
    """torch's gates r, z, n as ONNX's z, r, h."""
    r, z, n = np.split(weight, 3)
    return np.concatenate([z, r, n])


def _mean(g: Graph, x: str, batch: Batch) -> str:
    """The mean [B, C] over valid steps."""
    total = g("ReduceSum", g("Where", batch.mask, x, 0.0), [1], keepdims=0)
    return g("Div", total, g("Unsqueeze", g("CastLike", batch.lengths, total), [1]))


def _positions(g: Graph, x: str, d: int) -> str:
    """The position encoding [T, d] of `neurallib.models.attention.positions`, in float64 as there."""
    channel = np.arange(d)
    rate = 10000.0 ** (-2 * (channel // 2) / d)
    step = g("Unsqueeze", as_double(g, g("Range", 0, n_steps(g, x), 1)), [1])
    return g("Cast", g("Sin", g("Add", g("Mul", step, rate), channel % 2 * (np.pi / 2))), to=FLOAT)


def _encoded(net: Net, batch: Batch) -> tuple[str, str, str]:
    """The signals before and behind the encoder, [B, T, d], and what is added to the scores of steps, [B, 1, 1, T]:
    minus infinity beyond a length."""
    g = net.g
    hidden = g("Where", g("Unsqueeze", g("Transpose", batch.mask, perm=[0, 2, 1]), [1]), 0.0, -np.inf)
    x = first = g("Add", net.layer("input_projection", batch.x), _positions(g, batch.x, net.hparams["d_model"]))
    for i in range(net.hparams["num_encoder_layers"]):
        name = f"encoder.layers.{i}"
        x = _attended(net, f"{name}.self_attn", f"{name}.norm1", x, x, hidden)
        x = _feed_forward(net, name, 2, x)
    return first, x, hidden


def _projected(net: Net, name: str, x: str, thirds: tuple[int, int]) -> list[str]:
    """Queries (third 0), keys (1) and values (2) of an attention, [B, H, T, D] each."""
    g = net.g
    parts = (np.split(net.weights[f"{name}.in_proj_{kind}"], 3)[slice(*thirds)] for kind in ("weight", "bias"))
    heads = [0, 0, net.hparams["nhead"], net.hparams["d_model"] // net.hparams["nhead"]]
    made = [linear(g, x, weight, bias) for weight, bias in zip(*parts, strict=True)]
    return [g("Transpose", g("Reshape", part, heads), perm=[0, 2, 1, 3]) for part in made]


def _attended(net: Net, name: str, norm: str, x: str, of: str | list[str], hidden: str | None) -> str:
    """`x` [B, T, d] with what it attends to, `of` [B, T, d] or its keys and values, normalized."""
    g, d = net.g, net.hparams["d_model"]
    keys = _projected(net, name, of, (1, 3)) if isinstance(of, str) else of
    (query,) = _projected(net, name, x, (0, 1))
    query = g("Mul", query, float((d // net.hparams["nhead"]) ** -0.5))
    scores = g("MatMul", query, g("Transpose", keys[0], perm=[0, 1, 3, 2]))
    scores = g("Add", scores, hidden) if hidden else scores
    attended = g("Transpose", g("MatMul", g("Softmax", scores, axis=-1), keys[1]), perm=[0, 2, 1, 3])
    return _add_norm(net, norm, x, net.layer(f"{name}.out_proj", g("Reshape", attended, [0, 0, d])))


def _feed_forward(net: Net, name: str, k: int, x: str) -> str:
    update = net.layer(f"{name}.linear2", net.g("Relu", net.layer(f"{name}.linear1", x)))
    return _add_norm(net, f"{name}.norm{k}", x, update)


def _add_norm(net: Net, name: str, x: str, update: str) -> str:
    scale, bias = net.weights[f"{name}.weight"], net.weights[f"{name}.bias"]
    return net.g("LayerNormalization", net.g("Add", x, update), scale, bias, axis=-1, epsilon=1e-5)


NETWORKS = {
    "GRUseq2seq": gru_seq2seq,
    "GRUseq2one": gru_seq2one,
    "GRUED": gru_encoder_decoder,
    "Transformerseq2seq": transformer_seq2seq,
    "Transformerseq2one": transformer_seq2one,
    "TransformerED": transformer_encoder_decoder,
}
