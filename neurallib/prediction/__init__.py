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
signal was of late. A spike would ring in both for seconds: `{"name": "slew_limit", "causal": True}` before them keeps
it small, and leaves bit for bit what changes as it did of late. A filter's state is part of the carry. A network that
looks back alone has to see an event before it can tell of it, so its labels are moved later, and
`postprocessing["events"]["delay"]` is the seconds that are taken off what it finds.
`nl.load_pretrained("ecg_r_peaks_stream")` is made so.

Devices without Python
----------------------
`nl.export_onnx` writes a state as an ONNX file, once ONNX Runtime has given what `predict` gives: each of the six
architectures, from a signal in its own units to probabilities or values, filters and normalization included. What a
device has to do itself its metadata tell: the sampling frequency, the longest window, how events are found. With
`stateful=True` a stream goes on from piece to piece; here the detector that comes along, as a device would call it:

```python
import json, numpy as np, onnxruntime

path = nl.export_onnx(nl.load_pretrained("ecg_r_peaks_stream"), "ecg_r_peaks_stream.onnx", stateful=True)

session = onnxruntime.InferenceSession(path)  # from here on without neurallib
told = session.get_modelmeta().custom_metadata_map
rate = json.loads(told["preprocessing"])["sampling_frequency"]  # 125 Hz
events = json.loads(told["postprocessing"])["events"]  # threshold; smoothing, min_distance and delay in seconds
kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64}
states = {each.name: np.zeros((1, *each.shape[1:]), kinds[each.type]) for each in session.get_inputs()[2:]}
for i in range(0, len(signal) - 3, 4):  # pieces of any length that is a multiple of the fold, 2
    piece = signal[None, i : i + 4].astype(np.float32)  # [1, 4, 1]
    probabilities, *after = session.run(None, {"x": piece, "lengths": np.array([4]), **states})
    states = dict(zip(states, after))
```

In other languages it is the same: the states are inputs and outputs in the same order, zeros where a signal begins.
Where a sample is nan or infinite, as of a lead that is off, or a length is not from 1 to the time of `x`, or of a piece
no multiple of the fold, a signal, or piece of a stream, has nan for all of its outputs. The states come out as they
went in, and the stream goes on with the next piece as if that one had not been: short pieces lose little.
What is an event is the rule of `nl.find_events`, which takes threshold, smoothing, min_distance and delay.
"""
