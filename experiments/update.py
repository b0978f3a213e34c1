"""Audit of one received update: `mamljax update --model=... --gradient=... --candidates=...`.

Tells which of some candidates were in the data that an update was computed from, each with a
p-value against public examples, prints the report and writes it as a page.
"""

from collections.abc import Sequence
from typing import Any

from absl import flags

import mamljax
from experiments.auditing import arrays, attacks, budget, learner, model, output
from experiments.process import bounds, cli

RATE = bounds.Bounds(0, 1)


def main(argv: Sequence[str]) -> None:
  """Audits the update, prints the report and writes it."""
  del argv
  values = flags.FLAGS
  path = output.check(values.output)
  audited = model.load()
  report = mamljax.audit_update(
    audited.loss_fn,
    audited.params,
    model.read_like('gradient', audited.params),
    arrays.batch('candidates', values.candidates),
    public=arrays.batch('public', values.public),
    learner=learner.of(audited),
    shots=values.shots,
    target=values.target,
    query_set=arrays.batch('query_set', values.query_set) if values.query_set else None,
    attack=attacks.named(values.attack),
    learners=values.learners,
    fpr=values.fpr,
    budget=values.budget,
    seed=values.seed,
    store=values.store_dir,
  )
  output.write(report, path)


def define() -> None:
  """Defines the flags of the command."""
  model.define()
  learner.define()
  group = cli.group('update')
  files: dict[str, Any] = {'module_name': group}
  gradient = 'the received update: .npz, .safetensors or .pt, arrays like the parameters'
  flags.DEFINE_string('gradient', None, gradient, **files)
  candidates = 'examples asked about: npz:PATH with `inputs`, and their slots as `labels`'
  flags.DEFINE_string('candidates', None, candidates, **files)
  public = 'public examples of the same classes: npz:PATH with `inputs`, and slots as `labels`'
  flags.DEFINE_string('public', None, public, **files)
  query_set = 'the query set, if the support set is sought and it is known: npz:PATH likewise'
  flags.DEFINE_string('query_set', None, query_set, **files)
  shots = 'number of examples of each class in each set of the task; 1 if it is not known'
  bounds.integer('shots', None, bounds.Bounds(1, 100_000), shots, group=group)
  target = 'set that candidates may be in: query or support'
  flags.DEFINE_string('target', 'query', target, **files)
  attack = 'attack to score with; auto, or several joined by commas, to try on simulated tasks'
  flags.DEFINE_string('attack', 'auto', attack, **files)
  learners, added = bounds.Bounds(1, 1_000_000, 'learners'), 'number of learners added up'
  bounds.integer('learners', 1, learners, added, group=group)
  bounds.real('fpr', 0.01, RATE, 'false-positive rate of the decisions', group=group)
  bounds.integer('seed', 0, bounds.SEED, 'seed of all randomness', group=group)
  budget.define(group)
  output.define('update.html')


if __name__ == '__main__':
  define()
  cli.use_all_cores()
  cli.cache_compilations()
  cli.run(main, resumes=True)
