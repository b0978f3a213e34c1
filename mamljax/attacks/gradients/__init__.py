"""Gradients taken apart: by layer, into factors, and matched by those of a guess."""
