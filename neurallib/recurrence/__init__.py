"""The GRU recurrence: one layer over a padded batch, its threads and its compiled kernels."""
