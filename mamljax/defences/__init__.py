"""Defences of a task-learner, at any of the paper's four points (section IV-E).

Only noise on what is sent has a guarantee, and only if that is clipped first: `DPGaussian`, or,
for single query examples, `DPExamples`.
Coarser messages (`TopK`, `Sign`, `Quantised`), made to save bits, have none.
"""

from mamljax.defences.aggregate import Aggregate, split_at_sum
from mamljax.defences.chain import Chain
from mamljax.defences.defence import (
  Aggregation,
  AnyDefence,
  Composition,
  Compression,
  Defence,
  Hook,
  Mechanism,
  PerExample,
  as_defence,
  identity,
  learners_of,
  parts_of,
  per_example,
)
from mamljax.defences.dp_examples import DPExamples
from mamljax.defences.dp_gaussian import DPGaussian
from mamljax.defences.gaussian import Gaussian
from mamljax.defences.named import (
  AGGREGATE,
  COMPRESSIONS,
  DEFENCES,
  MECHANISM,
  MECHANISMS,
  NOISES,
  make_defence,
  parse_defence,
  without_noise,
)
from mamljax.defences.quantised import Quantised
from mamljax.defences.sign import Sign
from mamljax.defences.top_k import TopK

__all__ = [
  'AGGREGATE',
  'COMPRESSIONS',
  'DEFENCES',
  'MECHANISM',
  'MECHANISMS',
  'NOISES',
  'Aggregate',
  'Aggregation',
  'AnyDefence',
  'Chain',
  'Composition',
  'Compression',
  'DPExamples',
  'DPGaussian',
  'Defence',
  'Gaussian',
  'Hook',
  'Mechanism',
  'PerExample',
  'Quantised',
  'Sign',
  'TopK',
  'as_defence',
  'identity',
  'learners_of',
  'make_defence',
  'parse_defence',
  'parts_of',
  'per_example',
  'split_at_sum',
  'without_noise',
]
