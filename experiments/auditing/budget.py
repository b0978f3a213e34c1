"""Time that the attacks of an audit may take, and the folder where it goes on: their flags."""

from absl import flags

from experiments.process import bounds

SECONDS = bounds.Bounds(1, bounds.LONGEST, 'seconds')


def define(group: str) -> None:
  """Defines the flags, in a group of others."""
  budget = 'seconds that attacks may take together (default: 300 for auto, else no limit)'
  bounds.real('budget', None, SECONDS, budget, group=group)
  store = 'folder that keeps scores, so that the same command goes on after an interruption'
  flags.DEFINE_string('store_dir', None, store, module_name=group)
