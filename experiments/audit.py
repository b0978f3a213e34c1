"""Audit of your own model, protocol and data: `mamljax audit --model=... --data=...`.

Plays the membership game with every attack that applies, prints the report and writes it as a
page. `--model` names a function of yours that returns the loss and the parameters, and, if you
like, the learner.
"""

from collections.abc import Sequence

from absl import flags

import mamljax
from experiments.auditing import attacks, budget, game, learner, model, output
from experiments.process import bounds, cli

HALF_WIDTH = bounds.Bounds(0.001, 0.4)


def main(argv: Sequence[str]) -> None:
  """Audits, prints the report and writes it."""
  del argv
  values = flags.FLAGS
  path = output.check(values.output)
  audited = model.load()
  report = mamljax.audit_tasks(
    audited.loss_fn,
    audited.params,
    game.read(),
    learner.of(audited),
    ways=values.ways,
    shots=values.shots,
    target=values.target,
    attacks=attacks.named(values.attacks),
    trials=values.trials,
    interval=values.interval,
    budget=values.budget,
    seed=values.seed,
    store=values.store_dir,
  )
  output.write(report, path)


def define() -> None:
  """Defines the flags of the command."""
  model.define()
  learner.define()
  game.define(trials='number of reported trials of each attack, or the most of them')
  _define_interval()
  budget.define(cli.group('game'))
  output.define('audit.html')


def _define_interval() -> None:
  """Defines the flag of the interval that ends an attack early."""
  interval = (
    'half-width of the 95 % interval of an accuracy at which an attack is played no more '
    '(default: all trials are played)'
  )
  bounds.real('interval', None, HALF_WIDTH, interval, group=cli.group('game'))


if __name__ == '__main__':
  define()
  cli.use_all_cores()
  cli.cache_compilations()
  cli.run(main, resumes=True)
