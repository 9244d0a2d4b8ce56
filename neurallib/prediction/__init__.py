"""Predicting with a state and measuring it, on data in memory and on folders.

Streams
-------
`neurallib.examples.stream` reads a recording as from a device, 0.1 s at a time, and tells how
late each beat was known. In short:

```python
state = nl.gru_seq2seq(n_features=1, hid_dim=[32, 64], n_layers=2)  # in one direction; normalization="dataset"
network, carry = nl.build_network(state).eval(), nl.init_stream(state)
for i in range(0, len(signal), 36):  # pieces [n, 1] of any length
    probabilities, carry = nl.stream_step(network, signal[i : i + 36], carry)  # as predict gives them for the whole
```

What stands before the network has to do without the future as well: `steps=[{"name": "highpass", "frequency": 0.5,
"causal": True}]`, and in place of a normalization of each signal a causal `local_gain`, which divides by how large the
signal was of late. A filter's state is part of the carry. A network that looks back alone has to see an event before it
can tell of it, so its labels are moved later, and `postprocessing["events"]["delay"]` is the seconds that are taken off
what it finds. `nl.load_pretrained("ecg_r_peaks_stream")` is made so.

For a device without Python, `nl.export_onnx(state, "peaks.onnx", stateful=True)` writes a network as an ONNX file, once
ONNX Runtime has given what `predict` gives; it takes each of the six architectures, normalization and units included,
but no steps, which the models that come along have.
"""
