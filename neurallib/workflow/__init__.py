"""The specification's way over directories: train from scratch, and retrain from what was saved or published."""
