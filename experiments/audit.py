"""Audit of your own model, protocol and data: `mamljax audit --model=... --data=...`.

Plays the membership game with every attack that applies, prints the report and writes it as a
page. `--model` names a function of yours that returns the loss and the parameters.
"""

from collections.abc import Sequence

from absl import flags

import mamljax
from experiments.auditing import arrays, learner, model, output
from experiments.process import bounds, cli

SIZE = bounds.Bounds(1, 100_000)


def main(argv: Sequence[str]) -> None:
  """Audits, prints the report and writes it."""
  del argv
  values = flags.FLAGS
  path = output.check(values.output)
  audited = model.load()
  examples = arrays.read('data', values.data, data_dir=values.data_dir)
  report = mamljax.audit_tasks(
    audited.loss_fn,
    audited.params,
    mamljax.from_arrays(*examples, seed=values.seed),
    learner.read(),
    ways=values.ways,
    shots=values.shots,
    target=values.target,
    attacks=attacks_of(values.attacks),
    trials=values.trials,
    seed=values.seed,
    store=values.store_dir,
  )
  output.write(report, path)


def attacks_of(text: str) -> str | list[str]:
  """The attacks that a flag names: 'auto', 'all', or names."""
  return text if text in ('auto', 'all') else [name.strip() for name in text.split(',')]


def define() -> None:
  """Defines the flags of the command."""
  model.define()
  learner.define()
  data = 'examples and labels: npz:PATH with `inputs` and `labels`, or a data set by name'
  flags.DEFINE_string('data', None, data)
  flags.DEFINE_string('data_dir', None, 'the folder of prepared data sets')
  bounds.integer('ways', 5, SIZE, 'number of classes of a task')
  bounds.integer('shots', 1, SIZE, 'number of examples of each class in each set of a task')
  flags.DEFINE_string('target', 'query', 'set that is attacked: query or support')
  attacks = 'attacks to play: auto, all (slow ones, too) or names joined by commas'
  flags.DEFINE_string('attacks', 'auto', attacks)
  trials = bounds.Bounds(4, 10_000_000, 'trials')
  bounds.integer('trials', 200, trials, 'number of reported trials of each attack')
  bounds.integer('seed', 0, bounds.SEED, 'seed of all randomness')
  store = 'folder that keeps scores, so that the same command goes on after an interruption'
  flags.DEFINE_string('store_dir', None, store)
  output.define('audit.html')


if __name__ == '__main__':
  define()
  cli.use_all_cores()
  cli.cache_compilations()
  cli.run(main, resumes=True)
