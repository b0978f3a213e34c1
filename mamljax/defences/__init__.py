"""Defences: noise that a task-learner adds at any of the paper's four points (section IV-E)."""

from mamljax.defences.defence import Defence, Hook, identity
from mamljax.defences.gaussian import Gaussian
from mamljax.defences.named import DEFENCES, make_defence, parse_defence

__all__ = [
  'DEFENCES',
  'Defence',
  'Gaussian',
  'Hook',
  'identity',
  'make_defence',
  'parse_defence',
]
