"""Defences of a task-learner, at any of the paper's four points (section IV-E).

Only noise on what is sent has a guarantee, and only if that is clipped first: `DPGaussian`.
Coarser messages (`TopK`, `Sign`, `Quantised`), made to save bits, have none.
"""

from mamljax.defences.chain import Chain
from mamljax.defences.defence import (
  Composition,
  Compression,
  Defence,
  Hook,
  Mechanism,
  as_defence,
  identity,
  parts_of,
)
from mamljax.defences.dp_gaussian import DPGaussian
from mamljax.defences.gaussian import Gaussian
from mamljax.defences.named import (
  COMPRESSIONS,
  DEFENCES,
  MECHANISM,
  NOISES,
  make_defence,
  parse_defence,
  without_noise,
)
from mamljax.defences.quantised import Quantised
from mamljax.defences.sign import Sign
from mamljax.defences.top_k import TopK

__all__ = [
  'COMPRESSIONS',
  'DEFENCES',
  'MECHANISM',
  'NOISES',
  'Chain',
  'Composition',
  'Compression',
  'DPGaussian',
  'Defence',
  'Gaussian',
  'Hook',
  'Mechanism',
  'Quantised',
  'Sign',
  'TopK',
  'as_defence',
  'identity',
  'make_defence',
  'parse_defence',
  'parts_of',
  'without_noise',
]
