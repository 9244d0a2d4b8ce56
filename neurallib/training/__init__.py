"""Training a state: the run, its optimizer, Lightning's loop and what TensorBoard shows of it."""
