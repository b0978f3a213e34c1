"""Attacks: one a file, each with the same public names in the same order.

Options: its hyper-parameters, the targeted set among them. Info: what it saw on its way.
REQUIRES: for each set that it can target, what it must know beyond the loss, w and the
gradient, of `NEEDS`; and 'separate_images' if the loss must be a mean over images that do not
see each other. THRESHOLD: the score above which a candidate of an undefended learner is a
member, where that is known beforehand, else None: trials must choose it.
`prepare(key, knowledge, options=...)`, once for all trials at one w. `score(key, prepared,
observation, candidate, options=...)`, a scalar that is higher for a member, and an Info.
"""

from types import ModuleType

from mamljax.attacks import (
  curvature_filter,
  gradient_cosine,
  gradient_cosine_z,
  loss,
  matched_filter,
  noise_filter,
  patch_space,
  reconstruction,
  residual_filter,
  row_space,
  shadow_matched_filter,
)
from mamljax.attacks.observation import Candidate, Knowledge, Observation

ATTACKS: dict[str, ModuleType] = {
  'reconstruction': reconstruction,
  'row_space': row_space,
  'patch_space': patch_space,
  'matched_filter': matched_filter,
  'noise_filter': noise_filter,
  'shadow_matched_filter': shadow_matched_filter,
  'curvature_filter': curvature_filter,
  'residual_filter': residual_filter,
  'gradient_cosine': gradient_cosine,
  'gradient_cosine_z': gradient_cosine_z,
  'loss': loss,
}
NEEDS = frozenset(
  {'query_set', 'defence', 'inner_loop', 'references', 'classes', 'separate_images'}
)

__all__ = [
  'ATTACKS',
  'NEEDS',
  'Candidate',
  'Knowledge',
  'Observation',
  'curvature_filter',
  'gradient_cosine',
  'gradient_cosine_z',
  'loss',
  'matched_filter',
  'noise_filter',
  'patch_space',
  'reconstruction',
  'residual_filter',
  'row_space',
  'shadow_matched_filter',
]
