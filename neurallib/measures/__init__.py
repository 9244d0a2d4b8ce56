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

By person, with intervals over people, what `predict` or `cross_validate` predicts is scored by `class_scores` (AUROC
too) and `value_scores` (bias and limits of agreement too); `compare_recordings` compares two models' scores.
"""
