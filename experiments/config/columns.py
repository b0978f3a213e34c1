"""Cells by the names of their columns: built from them, written as JSON, read, described.

A column is called like the field that it holds, and one of an option OWNER.OPTION, such as
`curvature_filter.shadows` or `conv4.filters`. A cell has no column of what it has not.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.config.attacks import (
  JOINT,
  PLAYED,
  check_name,
  make_attack,
  needs,
  options_of_attack,
  parts_of,
)
from experiments.config.cell import Cell, Recipe, as_told
from experiments.config.fields import Field, fields_of
from experiments.config.networks import (
  OPTIONS,
  make_options,
  options_of_network,
)
from experiments.config.sections import SECTIONS
from mamljax.attacks.base import name_of
from mamljax.errors import InputError, unknown

_ATTACK = Field(
  column='attack',
  flag='attacks',
  attribute='attack',
  kind=str,
  default='reconstruction',
  help=f'attack: {", ".join(PLAYED)}; several whose scores are combined, joined by '
  "'+'; all: every attack that applies",
  bounds=None,
  known=(),
  optional=False,
)
_NETWORK = _ATTACK._replace(
  column='network',
  flag='networks',
  attribute='network',
  default='conv4',
  help=f'network under attack: {", ".join(OPTIONS)}',
)
(SEED_FIELD,) = fields_of(Cell)

_SECTION = {
  field.column: name for name, section in SECTIONS.items() for field in fields_of(section)
}
_OWN = {
  name: {field.column: field for field in fields_of(kind)} for name, kind in SECTIONS.items()
}
# All fields but options, in the order of a grid and of a table.
FIELDS: dict[str, Field] = {
  **_OWN['data'],
  'network': _NETWORK,
  **_OWN['model'],
  **_OWN['task'],
  'target': _OWN['game']['target'],
  'attack': _ATTACK,
  **_OWN['inner'],
  **_OWN['game'],
  **_OWN['defence'],
  **_OWN['execution'],
  'seed': SEED_FIELD,
}
_COLUMN = {(_SECTION[column], FIELDS[column].attribute): column for column in _SECTION}
STAMPS = ('fingerprint', 'code')  # of what data and code a cell is
_DESCRIBED = ('dataset', 'ways', 'shots', 'target', 'attack', 'chunk', *STAMPS)


def option_fields(owner: str) -> tuple[Field, ...]:
  """The options of an attack or a network.

  Raises:
    InputError: if there is none of that name.
  """
  if owner in OPTIONS:
    return options_of_network(owner)
  if owner in PLAYED:
    return options_of_attack(owner)
  raise unknown('attack or network', owner, (*PLAYED, *OPTIONS))


def find_field(column: str) -> Field:
  """The field of a column.

  Raises:
    InputError: if there is no such column.
  """
  owner, dot, _ = column.rpartition('.')
  known = {f.column: f for f in option_fields(owner)} if dot else FIELDS
  if column not in known:
    raise unknown('field of a cell', column, known)
  return known[column]


def make_cell(**columns: Any) -> Cell:
  """The cell with the given values by column, and defaults for all others.

  What its attack is never given, such as public images, is left out of its game; and so are
  calibration trials where the threshold is known.

  Raises:
    InputError: if a column is unknown or a value cannot be.
    Unplayable: if each value could be, but not all of them together.
  """
  given: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
  options: dict[str, dict[str, Any]] = {}
  network, attack = (columns.get(f.column, f.default) for f in (_NETWORK, _ATTACK))
  owners = _owners(network, attack)
  for column, value in columns.items():
    field = find_field(column)
    field.check(value)
    content = float(value) if field.kind is float and value is not None else value
    owner, dot, option = column.rpartition('.')
    if dot and owner not in owners:
      raise InputError(f'{column} is an option of {owner}, and this cell has {attack}')
    if dot:
      options.setdefault(owner, {})[option] = content
    elif column in _SECTION:
      given[_SECTION[column]][field.attribute] = content
  given['model']['network'] = make_options(network, options.get(network, {}))
  sections: dict[str, Any] = {name: SECTIONS[name](**values) for name, values in given.items()}
  seed = columns.get('seed', SEED_FIELD.default)
  return _canonical(sections, make_attack(attack, options), seed)


def _owners(network: str, attack: str) -> frozenset[str]:
  """The names of the attacks and networks whose options a cell has."""
  check_name(attack)
  return frozenset({network, *attack.split(JOINT)})


def _canonical(sections: dict[str, Any], attack: Any, seed: int) -> Cell:
  """The cell of the given sections, without knowledge that its attack does not require."""
  cell = Cell(**sections, attack=attack, seed=seed)
  game = as_told(cell.game, needs(attack, cell.game.target))
  if cell.threshold is not None:
    game = dataclasses.replace(game, calibration_trials=0)
  return dataclasses.replace(cell, game=game)


def configuration(cell: Recipe) -> dict[str, Any]:
  """A cell, or a recipe, as nested JSON: attack and network are names with their options."""
  found: dict[str, Any] = {
    name: dataclasses.asdict(getattr(cell, name)) for name in _sections_of(cell)
  }
  network = cell.model.network
  found['model']['network'] = {'name': cell.model.network_name} | dataclasses.asdict(network)
  if isinstance(cell, Cell):
    found['attack'] = [{'name': name_of(p)} | _plain(p) for p in parts_of(cell.attack)]
  return found | {'seed': cell.seed}


def _sections_of(cell: Recipe) -> list[str]:
  names = {field.name for field in dataclasses.fields(cell)}
  return [name for name in SECTIONS if name in names]


def _plain(options: Any) -> dict[str, Any]:
  """The options of an attack as JSON scalars."""
  return {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}


def flatten(content: Mapping[str, Any]) -> dict[str, Any]:
  """A configuration, nested as `configuration` writes it, by column."""
  found: dict[str, Any] = {}
  for section in ('data', 'model', 'task', 'inner', 'game', 'defence', 'execution'):
    if section not in content:  # of a recipe
      continue
    values = dict(content[section])
    if section == 'model':
      found |= _named('network', [values.pop('network')])
    if section == 'inner' and 'attack' in content:
      found |= {'target': content['game']['target']} | _named('attack', content['attack'])
    found |= {str(_COLUMN.get((section, name), name)): v for name, v in values.items()}
  return found | {'seed': content['seed']}


def _named(column: str, chosen: list[dict[str, Any]]) -> dict[str, Any]:
  """The chosen attacks and networks, and all of their options."""
  found: dict[str, Any] = {column: JOINT.join(one['name'] for one in chosen)}
  for one in chosen:
    found |= {f'{one["name"]}.{k}': value for k, value in one.items() if k != 'name'}
  return found


def check_columns(columns: Mapping[str, Any]) -> None:
  """Refuses columns that are not those of a cell, each with a value that it can have.

  Raises:
    InputError: naming one.
  """
  if missing := {*FIELDS} - {*columns}:
    raise InputError(f'a configuration without {min(missing)}')
  for column, value in columns.items():
    find_field(column).check(value)


def read(content: Mapping[str, Any]) -> Cell:
  """The cell of a configuration.

  Raises:
    InputError: if it is of another version of this program.
  """
  try:
    columns = flatten(content)
  except (KeyError, TypeError, AttributeError, ValueError):
    raise InputError('a configuration of another version') from None
  return make_cell(**{name: value for name, value in columns.items() if value is not None})


def columns_of(cell: Recipe) -> dict[str, Any]:
  """The values of a cell, or of a recipe, by column."""
  return flatten(configuration(cell))


def with_columns(cell: Cell, **columns: Any) -> Cell:
  """The cell with some values replaced, without options of attacks and networks it lost."""
  changed = {k: v for k, v in columns_of(cell).items() if v is not None} | columns
  owners = _owners(changed['network'], changed['attack'])
  kept = {k: v for k, v in changed.items() if '.' not in k or k.rpartition('.')[0] in owners}
  return make_cell(**kept)


def describe(cell: Cell) -> str:
  """A short description of a cell: its game, and every value that is not a default."""
  values = columns_of(cell)
  game = '{dataset} {ways}-way {shots}-shot {target} {attack}'.format(**values)
  usual = columns_of(_usual(values['attack'], values['target']))
  unusual = [
    f'{name}={value}'
    for name, value in values.items()
    if name not in _DESCRIBED and (name not in usual or usual[name] != value)
  ]
  return ' '.join([game, *unusual])


def _usual(attack: str, target: str) -> Cell:
  """The cell of an attack with defaults for everything else."""
  return make_cell(attack=attack, target=target)


def varying(cells: Sequence[Mapping[str, Any]]) -> list[str]:
  """The columns whose values differ between any two of some cells that both have them."""
  names = dict.fromkeys(name for cell in cells for name in cell)
  values = {
    name: {cell[name] for cell in cells if cell.get(name) is not None} for name in names
  }
  return [name for name in names if len(values[name]) > 1]


def is_option(column: str) -> bool:
  """Tests whether a column is an option of an attack or a network."""
  return '.' in column
