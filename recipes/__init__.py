"""Training scripts beside the library: how the shipped pocket models were made, and larger runs. Not installed."""
