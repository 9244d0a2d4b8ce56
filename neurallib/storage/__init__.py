"""States as files: checkpoint directories, training information, model cards, the Hugging Face hub."""
