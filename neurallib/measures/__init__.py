"""What a model is measured by: losses, metrics, events, and the weights of classes."""
