"""Defences of a task-learner: noise at any of the paper's four points (section IV-E).

Only noise on what is sent has a guarantee, and only if that is clipped first: `DPGaussian`.
"""

from mamljax.defences.defence import Defence, Hook, Mechanism, as_defence, identity
from mamljax.defences.dp_gaussian import DPGaussian
from mamljax.defences.gaussian import Gaussian
from mamljax.defences.named import DEFENCES, MECHANISM, make_defence, parse_defence

__all__ = [
  'DEFENCES',
  'MECHANISM',
  'DPGaussian',
  'Defence',
  'Gaussian',
  'Hook',
  'Mechanism',
  'as_defence',
  'identity',
  'make_defence',
  'parse_defence',
]
