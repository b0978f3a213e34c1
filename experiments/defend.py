"""Choice of a defence for your own model: `mamljax defend --model=... --data=... --epsilon=8`.

Compares no defence with the Gaussian mechanism at several strengths and with others of yours
by the guarantee of each, the worst attack that knows it, and the accuracy of learning that it
costs. Prints the table, and which defence holds the bounds, or none of these; writes a page,
its picture, and the rows. The same command on the same --output_dir takes what is measured from
there.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from matplotlib.figure import Figure

import mamljax
from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.auditing import attacks, defences, game, learner, learning, model
from experiments.process import bounds, cli
from experiments.store import cells
from mamljax import atomic
from mamljax.errors import InputError
from mamljax.training import Training

SHARE = bounds.Bounds(0, 1)
EPSILON = bounds.Bounds(1e-6, 1e9)
ATTACKS = 0.75  # of the budget: the most that attacks take
TASKS = 2000  # on which learning is tested
USUAL = 900.0  # seconds
_SHARED = ('target', 'ways', 'shots', 'trials', 'seed', 'rounds', 'delta')  # of all rows
TRIALS = f'{game.TRIALS}; below 200 no bound on a TPR can hold'


def main(argv: Sequence[str]) -> None:
  """Compares defences, prints the table and the advice, and writes them."""
  del argv
  values = flags.FLAGS
  folder = Path(values.output_dir).expanduser()
  cells.check_output_dir(folder)
  compared = _defences()
  audited = model.load()
  plain = learner.of(audited, defended=False)
  data = game.read()
  accuracy, problem = _accuracy(audited, plain, data, folder / 'scores', 1 + len(compared))
  study = mamljax.compare_defences(
    audited.loss_fn,
    audited.params,
    data,
    plain,
    compared,
    ways=values.ways,
    shots=values.shots,
    target=values.target,
    attacks=attacks.named(values.attacks),
    trials=values.trials,
    seed=values.seed,
    rounds=values.rounds,
    delta=values.delta,
    accuracy=accuracy,
    budget=ATTACKS * values.budget / (1 + len(compared)),
    store=folder / 'scores',
  )
  advice = study.recommend(
    epsilon=values.epsilon,
    max_tpr=values.max_tpr,
    max_accuracy_loss=values.max_accuracy_loss,
  )
  _write(study, advice, folder)
  print(study, advice, study.finding, *_open(accuracy, problem), sep='\n\n')
  print(f'\nThe report is {folder / "defend.html"}')


def _defences() -> Any:
  """The defences that the flags name."""
  values = flags.FLAGS
  return defences.grid(
    epsilon=values.epsilon,
    delta=values.delta,
    rounds=values.rounds,
    clip=values.clip,
    epsilons=values.epsilons,
    named=values.defences,
  )


def _accuracy(
  audited: model.Model, plain: Any, data: Any, store: Path, count: int
) -> tuple[learning.InTime | None, str]:
  """The measure of learning, or None with the reason why nothing can be trained."""
  values = flags.FLAGS
  try:
    measure = mamljax.TrainedAccuracy(
      training=Training(
        loss_fn=audited.loss_fn,
        inner=plain,
        ways=values.ways,
        shots=values.shots,
        tasks_per_round=values.tasks_per_round,
      ),
      params=audited.params,
      pool=data.references,
      held_out=data.victims,
      rounds=values.training_rounds,
      tasks=TASKS,
      seed=values.seed,
      store=store,
    )
  except InputError as error:
    return None, str(error)
  return learning.InTime(measure, seconds=values.budget, defences=count), ''


def _open(accuracy: learning.InTime | None, problem: str) -> list[str]:
  """A sentence on learning that was not measured, or none."""
  if accuracy is None:
    return [f'Learning was not measured: {problem}']
  if accuracy.late:
    return [
      f'Learning was not measured under {accuracy.late} of the defences for lack of time: '
      f'with a greater --budget the same command goes on.'
    ]
  return []


def _write(study: mamljax.Study, advice: mamljax.Recommendation, folder: Path) -> None:
  """Writes page, picture, rows and all of the study, each file whole or not at all."""
  shared = {name: flags.FLAGS[name].value for name in ('model', 'data')}
  shared |= {name: study.asked[name] for name in _SHARED}
  rows = [row.flat | shared for row in study.rows]
  atomic.write_text(folder / 'defend.html', study.to_html(advice=advice))
  atomic.write_text(folder / 'defences.csv', csv_text([*rows[0]], rows))
  told = {'chosen': advice.name, 'answer': advice.answer, 'reasons': advice.reasons}
  content = {'advice': told, **study.to_dict()}
  atomic.write_text(folder / 'defend.json', json.dumps(content, indent=1))
  picture = Figure(figsize=(6.4, 4.8), layout='constrained')
  study.plot(advice=advice, axes=picture.subplots())
  figures.save(picture, folder / 'pareto.png')


def define() -> None:
  """Defines the flags of the command."""
  model.define()
  learner.define(defended=False)
  game.define(trials=TRIALS)
  _define_defences()
  _define_bounds()
  group = cli.group('learning')
  rounds = 'number of rounds of the meta-training under each defence'
  bounds.integer('training_rounds', 100, bounds.Bounds(1, 10_000_000), rounds, group=group)
  learners = 'number of task-learners whose messages are averaged in a round of training'
  bounds.integer('tasks_per_round', 16, game.SIZE, learners, group=group)
  group = cli.group('output')
  seconds = bounds.Bounds(1, bounds.LONGEST, 'seconds')
  budget = 'seconds in all, of which attacks take three quarters at most'
  bounds.real('budget', USUAL, seconds, budget, group=group)
  told = 'folder of the page, the rows and the scores, from which the same command goes on'
  flags.DEFINE_string('output_dir', 'defend', told, module_name=group)


def _define_defences() -> None:
  """Defines the flags of the defences that are compared."""
  group = cli.group('defences')
  listed: dict[str, Any] = {'module_name': group}
  clip = 'norm that the Gaussian mechanism clips messages to, not chosen from private data'
  bounds.real('clip', 1.0, bounds.POSITIVE, clip, group=group)
  epsilons = (
    'epsilons that the mechanism is calibrated at, beside --epsilon (default: 1/8, 8, 64 and '
    '512 times --epsilon)'
  )
  flags.DEFINE_list('epsilons', [], epsilons, **listed)
  others = (
    'other defences, each of names joined by + with deviations as factors: '
    '0.1*query_noise,0.3*support_noise+dp_gaussian,dp_examples'
  )
  flags.DEFINE_list('defences', [], others, **listed)


def _define_bounds() -> None:
  """Defines the flags of what a defence must hold."""
  group = cli.group('bounds')
  epsilon = 'greatest epsilon that a defence may guarantee, a task being replaced by another'
  bounds.real('epsilon', 8.0, EPSILON, epsilon, group=group)
  bounds.real('delta', 1e-5, SHARE, 'delta of guarantees', group=group)
  rounds = 'number of messages of one task that guarantees are for'
  bounds.integer('rounds', 1, bounds.Bounds(1, 1_000_000_000), rounds, group=group)
  tpr = 'greatest true-positive rate of any attack at 1 % of false ones'
  bounds.real('max_tpr', 0.2, SHARE, tpr, group=group)
  loss = 'greatest accuracy of learning that a defence may cost'
  bounds.real('max_accuracy_loss', 0.1, SHARE, loss, group=group)


if __name__ == '__main__':
  define()
  cli.use_all_cores()
  cli.cache_compilations()
  cli.run(main, resumes=True)
