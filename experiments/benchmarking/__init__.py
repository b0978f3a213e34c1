"""Benchmarks of mamljax in rounds, beside its peers and against the peak of the machine."""
