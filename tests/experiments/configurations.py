"""Cells of tests, their options named without their owner, and second values of all fields."""

from typing import Any

from experiments.config.cell import Cell, Recipe
from experiments.config.columns import columns_of, make_cell, option_fields, with_columns

# A second valid value of every field of a cell but its attack.
OTHER: dict[str, Any] = {
  'dataset': 'fashion_mnist_sample',
  'image_size': 14,
  'channels': 1,
  'fingerprint': '0123456789abcdef',
  'code': 'fedcba9876543210',
  'network': 'mlp',
  'activation': 'softplus',
  'normalization': 'group',
  'initialization': 'glorot',
  'convolution': 'patches',
  'matmul_precision': 'high',
  'ways': 4,
  'shots': 2,
  'protocol': 'anil',
  'order': 1,
  'inner_steps': 3,
  'inner_learning_rate': 0.2,
  'defence': 'query_noise+dp_gaussian',
  'noise_scale': 0.25,
  'noise_mean': 0.125,
  'clip_noisy_images': True,
  'clip': 0.5,
  'noise_multiplier': 2.0,
  'tasks_per_round': 4,
  'rounds_per_epoch': 10,
  'outer_learning_rate': 0.01,
  'seed': 7,
  'target': 'support',
  'epoch': 2,
  'participations': 2,
  'learning_epoch': 3,
  'learners': 2,
  'non_members': 'any_class',
  'assumed_order': 1,
  'references': 50,
  'withheld': 'classes',
  'pool': 'calibration',
  'trials': 20,
  'calibration_trials': 10,
  'chunk': 5,
}
# A second valid value of every option, by its name.
OTHER_OPTIONS: dict[str, Any] = {
  'filters': 8,
  'downsampling': 'max_pool',
  'iterations': 10,
  'learning_rate': 0.2,
  'decay': 0.5,
  'tv_weight': 0.5,
  'start_mean': 0.25,
  'start_scale': 0.125,
  'labels': 'inferred',
  'restarts': 2,
  'judge': 'mse',
  'neighbours': 50,
  'sketch': 64,
  'ridge': 0.1,
  'directions': 16,
  'shadows': 40,
  'swaps': 10,
  'shrinkage': 0.5,
  'rounding': 1e-3,
  'pairs': 5,
  'penalty': 0.1,
}


def make(**fields: Any) -> Cell:
  """A cell; a value named like an option is given to its attack and network."""
  return make_cell(**_owned(fields, fields))


def make_model(**fields: Any) -> Recipe:
  """The recipe of such a cell's model."""
  return make(**fields).recipe


def changed(cell: Any, **fields: Any) -> Any:
  """A cell, or a recipe, with other values, named as for `make`."""
  if not isinstance(cell, Cell):
    return make_cell(
      **_owned(fields, columns := columns_of(cell)), **_rest(columns, fields)
    ).recipe
  return with_columns(cell, **_owned(fields, columns_of(cell) | fields))


def _rest(columns: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
  """The columns of a recipe that do not change, nor belong to what does."""
  owner = fields.get('network', columns['network'])
  kept = (name for name in columns if name not in fields)
  return {n: columns[n] for n in kept if '.' not in n or n.startswith(f'{owner}.')}


def _owned(fields: dict[str, Any], cell: dict[str, Any]) -> dict[str, Any]:
  """The fields, with options named by their owners: the attacks and the network of a cell."""
  owners = [cell.get('network', 'conv4')]
  owners += cell.get('attack', 'reconstruction').split('+')
  options = {f.attribute: [] for owner in owners for f in option_fields(owner)}
  for field in (field for owner in owners for field in option_fields(owner)):
    options[field.attribute].append(field.column)
  plain = {name: value for name, value in fields.items() if name not in OTHER_OPTIONS}
  named = {c: fields[n] for n, columns in options.items() if n in fields for c in columns}
  return plain | named
