"""Audit of your own model, protocol and data: `mamljax audit --model=... --data=...`.

Plays the membership game with every attack that applies, prints the report and writes it as a
page. `--model` names a function of yours that returns the loss and the parameters, and, if you
like, the learner.
"""

from collections.abc import Sequence
from typing import Any

from absl import flags

import mamljax
from experiments.auditing import arrays, attacks, learner, model, output
from experiments.process import bounds, cli

SIZE = bounds.Bounds(1, 100_000)
SECONDS = bounds.Bounds(1, bounds.LONGEST, 'seconds')


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
    learner.of(audited),
    ways=values.ways,
    shots=values.shots,
    target=values.target,
    attacks=attacks.named(values.attacks),
    trials=values.trials,
    budget=values.budget,
    seed=values.seed,
    store=values.store_dir,
  )
  output.write(report, path)


def define() -> None:
  """Defines the flags of the command."""
  model.define()
  learner.define()
  data: dict[str, Any] = {'module_name': cli.group('data')}
  told = 'examples and labels: npz:PATH with `inputs` and `labels`, or a data set by name'
  flags.DEFINE_string('data', None, told, **data)
  flags.DEFINE_string('data_dir', None, 'the folder of prepared data sets', **data)
  group = cli.group('game')
  game: dict[str, Any] = {'module_name': group}
  ways = 'number of classes of a task'
  bounds.integer('ways', 5, SIZE, ways, group=group)
  shots = 'number of examples of each class in each set of a task'
  bounds.integer('shots', 1, SIZE, shots, group=group)
  flags.DEFINE_string('target', 'query', 'set that is attacked: query or support', **game)
  played = 'attacks to play: auto, all (slow ones, too) or names joined by commas'
  flags.DEFINE_string('attacks', 'auto', played, **game)
  trials = bounds.Bounds(4, 10_000_000, 'trials')
  reported = 'number of reported trials of each attack'
  bounds.integer('trials', 200, trials, reported, group=group)
  budget = 'seconds that attacks may take together (default: 300 for auto, else no limit)'
  bounds.real('budget', None, SECONDS, budget, group=group)
  bounds.integer('seed', 0, bounds.SEED, 'seed of all randomness', group=group)
  store = 'folder that keeps scores, so that the same command goes on after an interruption'
  flags.DEFINE_string('store_dir', None, store, **game)
  output.define('audit.html')


if __name__ == '__main__':
  define()
  cli.use_all_cores()
  cli.cache_compilations()
  cli.run(main, resumes=True)
