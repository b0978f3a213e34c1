"""Audit of one received update: `mamljax update --model=... --gradient=... --candidates=...`.

Tells which of some candidates were in the data that an update was computed from, each with a
p-value against public examples, prints the report and writes it as a page.
"""

from collections.abc import Sequence

from absl import flags

import mamljax
from experiments.auditing import arrays, learner, model, output
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
    learner=learner.read(),
    shots=values.shots,
    target=values.target,
    learners=values.learners,
    fpr=values.fpr,
    seed=values.seed,
  )
  output.write(report, path)


def define() -> None:
  """Defines the flags of the command."""
  model.define()
  learner.define()
  gradient = 'the received update: .npz, .safetensors or .pt, arrays like the parameters'
  flags.DEFINE_string('gradient', None, gradient)
  candidates = 'examples asked about: npz:PATH with `inputs`, and their slots as `labels`'
  flags.DEFINE_string('candidates', None, candidates)
  public = 'public examples of the same classes: npz:PATH with `inputs`, and slots as `labels`'
  flags.DEFINE_string('public', None, public)
  shots = 'number of examples of each class in each set of the task; 1 if it is not known'
  bounds.integer('shots', None, bounds.Bounds(1, 100_000), shots)
  flags.DEFINE_string('target', 'query', 'set that candidates may be in: query or support')
  learners = bounds.Bounds(1, 1_000_000, 'learners')
  bounds.integer('learners', 1, learners, 'number of learners whose updates were added up')
  bounds.real('fpr', 0.01, RATE, 'false-positive rate of the decisions')
  bounds.integer('seed', 0, bounds.SEED, 'seed of all randomness')
  output.define('update.html')


if __name__ == '__main__':
  define()
  cli.use_all_cores()
  cli.cache_compilations()
  cli.run(main)
