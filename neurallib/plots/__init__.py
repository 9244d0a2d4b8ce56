"""Pictures of signals, recordings, losses and scores. No pyplot: no window, no global state."""
