"""What a model is measured by: losses, metrics, events, and the weights of classes.

Measures
--------
What `evaluate` gives beside `loss`, and validation logs, over valid steps with a known label, in bounded memory:

- binary: `accuracy`, `balanced_accuracy`, `precision`, `recall`, `specificity`, `f1` (of the positive class),
  `f1_macro`, `auroc`, `average_precision`, `calibration_error`, `baseline_accuracy`
- multi-label: the same as means over labels, with `f1_macro` for `f1`, and `accuracy` over all; of each label all of
  binary's but `f1_macro` and `baseline_accuracy`
- multiclass: `accuracy`, `balanced_accuracy`, `f1_macro`, `cohen_kappa`, `auroc`, `calibration_error`,
  `baseline_accuracy`; of each class `precision`, `recall`, `f1`, `auroc`
- regression: `mse`, `mae` over all values, `r2`, `pearson` as means over outputs, `baseline_mse`; the same of each
  output where there are more than one

What is of one class, label or output is called `f1_2`, or `f1_` and its name.

A baseline is what the best constant reaches: the most frequent class, the mean. nan is what the data do not tell, such
as the recall of a class that does not occur. `confusion_matrix` counts which class is taken for which.

Yes is a probability above 0.5, or above what is given as `threshold`. One is chosen on validation data, where
`threshold_curves` tells what each would give, and `plot_curves` shows it:

```python
ecg = [nl.synthetic_ecg(duration=10, sampling_frequency=100, seed=i) for i in range(8)]
pairs = [(signal[:, None], nl.peak_labels(r_peaks, len(signal), 5)[:, None]) for signal, r_peaks in ecg]
val, test = pairs[:4], pairs[4:]
state = nl.gru_seq2seq(n_features=1, hid_dim=16, n_layers=1)  # which training would make better
curves = nl.threshold_curves(state, val)  # ROC, precision by recall, calibration
above = nl.choose_threshold(curves)  # the best F1; of several labels one for each
above = nl.choose_threshold(curves, measure="specificity", recall=0.95)  # the most specific of those as sensitive
measured = nl.evaluate(state, test, threshold=above)
nl.plot_curves(nl.threshold_curves(state, test), threshold=above, path="curves.png")
nl.plot_confusion(nl.confusion_matrix(state, test, threshold=above), path="confusion.png")
```

Recordings
----------
`evaluate` counts steps. What a recording's answer is worth `evaluate_recordings` tells, by recording, of all and on
average, with intervals over people: moments such as beats are matched within a tolerance (`task="events"`), what lasts,
such as apnoeas, seizures and episodes of a rhythm, is scored by its overlap (`task="intervals"`, `names=["apnoea"]`,
which are symbols of annotations and names of classes), and classes are counted by step or window (`task="classes"`).
`class_scores` (AUROC too) and `value_scores` (bias and limits of agreement too) do so of what `predict` or
`cross_validate` predicts, and `plot_confusion`, `plot_curves` and `plot_agreement` (Bland and Altman) show what these
give. `compare_recordings` tells two models' scores apart. Of one recording `peak_scores` and
`interval_scores` do the same:

```python
true, found = [(600, 660), (3000, 3090)], [(580, 655), (2000, 2020)]  # seizures, in seconds from and to
nl.interval_scores(true, found, duration=3600)["f1"]  # 0.5: a true one is found where a found one overlaps it
nl.interval_scores(true, found, iou=0.2)  # matched one to one, as spindles of sleep are
rules = {"tolerance": (30, 60), "min_distance": 90, "max_duration": 300}  # of SzCORE; interval_options= of recordings
nl.interval_scores(true, found, duration=3600, **rules)["false_positives_per_hour"] * 24  # a day
```
"""
