"""mamljax's reconstruction attacks and meta-training in PyTorch (extra `peers`)."""
