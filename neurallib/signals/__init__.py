"""Signals on their way to a batch: folders and recordings, checks and shapes, normalization, padding.

Recordings
----------
A recording, of a WFDB record or an .edf, .bdf, .csv, .npy or .npz file, is a dict: `signal` [T, C],
`sampling_frequency`, `channels`, `units`, `events`, `person`. What its file says of itself is read: rates, units, gaps
(nan), annotations and their clocks, checksums, start time; a long signal stays in its file and is read in slices.
`make_dataset` writes the folders that training reads, no person in two parts, with a `manifest.json` of what each file
is; training takes rate, channels, units and window from it, and testing all but the window.

```python
from functools import partial

recording = nl.read_recording("recordings/anna.npz", channels=[("MLII", "II")], start=5, stop=10)
made = nl.make_dataset("recordings", "made", target=partial(nl.event_target, width=0.1), window=5,
                       channels=[("MLII", "II")], sampling_frequency=125)
state = nl.gru_seq2seq(n_features=1, hid_dim=16, n_layers=1, bidirectional=True, model_name="beats")
state = nl.train_from_scratch(state, made / "x", made / "y", epochs=5)
```

Recordings of several formats, or whose notes are kept in several ways, are read each by itself, with one name and unit
for a lead, and handed in together: `make_dataset([nl.read_recording(path, ...) for path in paths], ...)`.

What another device has marked, such as R-peaks of an ECG beside a ballistocardiogram, stands at samples of the signal
by one clock: `round((seconds - offset) * rate)`, where `rate` is not what the device promises but how many samples it
took between two moments that both have seen, by the seconds of the other. 50 ppm are 1.4 s in 8 hours. The recording's
"sampling_frequency" is that rate, and `make_dataset(..., sampling_frequency=125)` brings all to one, and warns of beats
that drift.

Labels
------
A regression has as many outputs as `n_outputs` says. A label that is not known is -1 (multiclass) or nan (every other
task): left out of loss, gradient, class weights and measures. Labels of yes and no may be soft, from 0 to 1.
`state["postprocessing"]["outputs"]` names the classes or quantities, with their units.

Augmentation
------------
`augment=` of the training functions is a function (x, y, generator) -> (x, y) that changes each training signal anew in
each epoch, the same whatever the batches and processes; `sample_weight=` says how much each counts.

Scales
------
Recordings and targets go in as they are, in mV or µV, beats a minute or litres, and answers come out in the same units.
What the network sees is scaled, and `state["preprocessing"]` keeps how: it is found on the training data alone, stands
in the files, and `predict`, `evaluate`, the tests, pictures and TensorBoard apply it to signals and undo it in answers.
Only `loss` is told as the network sees it: of a regression in units of its training targets' variance, so that 1 is
about what a constant reaches.

**By default** the training data of a model that has never been trained decide. Signals are scaled each by itself
(`"zscore"`), unless their own offsets and sizes tell something of the targets, of other people too, as those of muscles
do, and offsets that tell nothing do not drown the rest: then each channel is, by its median and interquartile range
over all of the data (`"dataset"`). A regression's targets are scaled by mean and standard deviation over all of the
data (`"dataset"`) or, where they follow the size of their signals, as a denoised signal does, by what their signal was
scaled with (`"signal"`). `nl.train(..., dry_run=True)["preprocessing"]` shows what would be chosen; a loop of your own
starts from the state that it gives. A trained model keeps what it has, also nothing.

**To choose otherwise**, give the training functions `normalization="minmax"`, `"zscore"` or `"robust"` (each signal by
itself), `"dataset"` (found anew, also when retraining) or `None` (as it comes), and `target_normalization="dataset"`,
`"signal"` or `None`.

**With a state travel** also, where training is told or cuts windows: `sampling_frequency`, `channels`, `units` and the
window. Say to `predict`, `evaluate` or `test_on_test_set` what their signals have, and others are resampled (answers
stay on your own steps), picked by name, and converted; what does not fit is refused. A model that learnt
on windows takes longer signals in windows that overlap by half, and gives each step the answer of the nearest one's
middle; a GRU of one direction that normalizes nothing by itself goes on in one pass, as on a stream.
"""
