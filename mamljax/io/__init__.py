"""Parameters, gradients and candidates in files: .npz, .safetensors and PyTorch's .pt."""

from mamljax.io.files import load_arrays, save
from mamljax.io.loading import Pair, Plan, load, plan

__all__ = ['Pair', 'Plan', 'load', 'load_arrays', 'plan', 'save']
