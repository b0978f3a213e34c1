"""Data and game of a command on your own model: their flags, and what they describe."""

from typing import Any

from absl import flags

import mamljax
from experiments.auditing import arrays
from experiments.process import bounds, cli

SIZE = bounds.Bounds(1, 100_000)
TRIALS = 'number of reported trials of each attack'


def define(*, trials: str = TRIALS) -> None:
  """Defines the flags of the data and of the game that attacks are played in.

  Args:
    trials: what is said of the number of trials.
  """
  data: dict[str, Any] = {'module_name': cli.group('data')}
  told = 'examples and labels: npz:PATH with `inputs` and `labels`, or a data set by name'
  flags.DEFINE_string('data', None, told, **data)
  flags.DEFINE_string('data_dir', None, 'the folder of prepared data sets', **data)
  group = cli.group('game')
  game: dict[str, Any] = {'module_name': group}
  bounds.integer('ways', 5, SIZE, 'number of classes of a task', group=group)
  shots = 'number of examples of each class in each set of a task'
  bounds.integer('shots', 1, SIZE, shots, group=group)
  flags.DEFINE_string('target', 'query', 'set that is attacked: query or support', **game)
  played = 'attacks to play: auto, all (slow ones, too) or names joined by commas'
  flags.DEFINE_string('attacks', 'auto', played, **game)
  bounds.integer('trials', 200, bounds.Bounds(4, 10_000_000, 'trials'), trials, group=group)
  bounds.integer('seed', 0, bounds.SEED, 'seed of all randomness', group=group)


def read() -> mamljax.Data:
  """The data that the flags name, divided by their seed.

  Raises:
    InputError: if there are none, or they are not valid.
  """
  values = flags.FLAGS
  examples = arrays.read('data', values.data, data_dir=values.data_dir)
  return mamljax.from_arrays(*examples, seed=values.seed)
