"""Experiments that are no sweep of cells: identifiability, recovery, times."""
