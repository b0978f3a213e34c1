"""Cells whose scores are on record: every attack, in each circumstance that has its code."""

from typing import Any

from experiments.config import columns
from experiments.config.attacks import PLAYED, targets_of
from experiments.config.cell import Cell
from mamljax.audit.likelihood_ratio import BOUNDS

SMALL: dict[str, Any] = {
  'ways': 2,
  'image_size': 14,
  'network': 'mlp',
  'initialization': 'pytorch',
  'references': 60,
  'chunk': 2,
  'trials': 16,
  'calibration_trials': 2,
  'tasks_per_round': 4,
  'rounds_per_epoch': 10,
}
# Of the network and of the attacks that have such an option.
SMALL_OPTIONS: dict[str, Any] = {
  'filters': 8,
  'iterations': 5,
  'shadows': 12,
  'swaps': 4,
  'sketch': 128,
  'directions': 16,
  'neighbours': 20,
  'shrinkage': 0.1,
  'ridge': 0.01,
}
OUTPUT_NOISE = {'defence': 'outgoing_gradient_noise', 'noise_scale': 0.01}
TRAINED = {'epoch': 1}
UNKNOWN_CLASSES = {'withheld': 'classes'}
SUM_OF_NOISES = {
  'defence': '0.1*query_noise+outgoing_gradient_noise',
  'noise_scale': 0.01,
}

# Every attack, for each set that it seeks; a bound needs noise.
_PLAIN: dict[str, dict[str, Any]] = {
  f'{attack} {target}': OUTPUT_NOISE if attack in BOUNDS else {}
  for attack in PLAYED
  for target in targets_of(attack)
}
# What an attack can do besides, each by itself.
_BESIDES: dict[str, dict[str, Any]] = {
  'reconstruction query inferred_labels': {'reconstruction.labels': 'inferred', 'shots': 2},
  'reconstruction support inferred_labels': {'reconstruction.labels': 'inferred', 'shots': 2},
  'reconstruction query mse': {'reconstruction.judge': 'mse'},
  'reconstruction query residual': {'reconstruction.judge': 'residual'},
  'reconstruction query restarts': {'reconstruction.restarts': 2},
  'reconstruction support three_steps': {'inner_steps': 3},
  'reconstruction support first_order_assumed': {'assumed_order': 1},
  'row_space support three_steps': {'inner_steps': 3},
  'patch_space support no_query_set': {'withheld': 'query_set'},
  'matched_filter query unknown_classes': UNKNOWN_CLASSES,
  'noise_filter query two_noises': SUM_OF_NOISES,
  'shadow_matched_filter support unknown_classes': UNKNOWN_CLASSES,
  'shadow_matched_filter support two_shots': {'shots': 2},
  'curvature_filter support unknown_classes': UNKNOWN_CLASSES,
  'curvature_filter support support_noise': {'defence': 'support_noise', 'noise_scale': 0.05},
  'residual_filter support unknown_classes': UNKNOWN_CLASSES,
  'gradient_cosine query two_learners': {'learners': 2},
  'gradient_cosine query any_class': {'non_members': 'any_class'},
  'likelihood_ratio support two_noises': SUM_OF_NOISES,
  'combined query': {
    'attack': 'matched_filter+gradient_cosine_z',
    'calibration_trials': 16,
  },
  'gradient_cosine query two_participations': TRAINED
  | {'participations': 2, 'calibration_trials': 16},
}
# The same code on other numbers, and with a defence.
_PLACES: dict[str, dict[str, Any]] = {
  '': {},
  ' trained': TRAINED,
  ' defended': OUTPUT_NOISE,
}

OPTIONS: dict[str, dict[str, Any]] = _BESIDES | {
  label + place: options | changes
  for label, options in _PLAIN.items()
  for place, changes in _PLACES.items()
}


# Of these each set is a large program of its own.
TWO_PROGRAMS = {'reconstruction', 'shadow_classifier', 'residual_filter', 'likelihood_ratio'}


def is_quick(label: str) -> bool:
  """Tests whether `make test` plays a case; each other one compiles a program of its own.

  Every attack is, plain, on every set that it seeks, but for the support set where that takes
  a second large program. The rest waits for `make slow`.
  """
  attack, target, *special = label.split()
  return not special and (target == 'query' or attack not in TWO_PROGRAMS)


def make_cell(label: str) -> Cell:
  """The cell of a label, whose first words are the attack and the set that it seeks."""
  attack, target = label.split()[:2]
  given = {'attack': attack, 'target': target} | SMALL | OPTIONS[label]
  given |= {'network': 'conv4'} if attack == 'patch_space' else {}
  owners = {given['network'], *given['attack'].split('+')}
  known = {f.column: f.attribute for owner in owners for f in columns.option_fields(owner)}
  small = {c: SMALL_OPTIONS[name] for c, name in known.items() if name in SMALL_OPTIONS}
  return columns.make_cell(**small | given)
