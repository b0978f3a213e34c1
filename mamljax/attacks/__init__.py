"""Attacks by name, and their contract. `mamljax.attacks.base` says what an attack is.

An attack of one's own needs no place here: it is an object, passed where one of these would be.
"""

from mamljax.attacks.base import Attack as Attack
from mamljax.attacks.base import BaseAttack as BaseAttack
from mamljax.attacks.base import Info as Info
from mamljax.attacks.baselines import GradientCosine as GradientCosine
from mamljax.attacks.baselines import GradientCosineZ as GradientCosineZ
from mamljax.attacks.baselines import Loss as Loss
from mamljax.attacks.curvature_filter import CurvatureFilter as CurvatureFilter
from mamljax.attacks.knowledge import Candidate as Candidate
from mamljax.attacks.knowledge import Knowledge as Knowledge
from mamljax.attacks.knowledge import Observation as Observation
from mamljax.attacks.matched_filter import MatchedFilter as MatchedFilter
from mamljax.attacks.noise_filter import NoiseFilter as NoiseFilter
from mamljax.attacks.patch_space import PatchSpace as PatchSpace
from mamljax.attacks.reconstruction import Reconstruction as Reconstruction
from mamljax.attacks.residual_filter import ResidualFilter as ResidualFilter
from mamljax.attacks.row_space import RowSpace as RowSpace
from mamljax.attacks.shadow_classifier import ShadowClassifier as ShadowClassifier
from mamljax.attacks.shadow_matched_filter import ShadowMatchedFilter as ShadowMatchedFilter
from mamljax.attacks.silent_units import SilentUnits as SilentUnits

ATTACKS: dict[str, type[Attack]] = {
  'reconstruction': Reconstruction,
  'row_space': RowSpace,
  'silent_units': SilentUnits,
  'patch_space': PatchSpace,
  'shadow_classifier': ShadowClassifier,
  'matched_filter': MatchedFilter,
  'noise_filter': NoiseFilter,
  'shadow_matched_filter': ShadowMatchedFilter,
  'curvature_filter': CurvatureFilter,
  'residual_filter': ResidualFilter,
  'gradient_cosine': GradientCosine,
  'gradient_cosine_z': GradientCosineZ,
  'loss': Loss,
}
