"""The same attacks and the same meta-training in PyTorch (extra `peers`)."""
