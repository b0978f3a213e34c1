"""Experiments other than sweeps of cells: identifiability, recovery of images, times."""
