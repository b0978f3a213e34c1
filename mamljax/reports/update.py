"""Audit of one received update: which of some candidates are in it, each with a p-value."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mamljax import checks
from mamljax.audit.trials import Rules
from mamljax.errors import InputError
from mamljax.maml import as_learner
from mamljax.protocol.learner import check_target
from mamljax.reports import declared, simulation, wording
from mamljax.reports import received as inputs
from mamljax.reports.budget import Budget, seconds_of
from mamljax.reports.choice import Attacks, choose, is_word
from mamljax.reports.desk import open_desk
from mamljax.reports.division import check_callable, divide, without_copies
from mamljax.reports.questioning import Question, division_for, is_single, make_question
from mamljax.reports.ranking import Scored, asked_of, score_candidates
from mamljax.reports.sight import read_off
from mamljax.reports.trying import Chosen, choose_attack, the_only
from mamljax.reports.update_making import Said, make_update_report
from mamljax.reports.update_report import UpdateReport
from mamljax.types import Batch, LossFn, Params


def audit_update(
  loss_fn: LossFn,
  params: Params,
  received: Any,
  candidates: Any,
  *,
  public: Any,
  learner: Any,
  labels: Any = None,
  ways: int | None = None,
  shots: int | None = None,
  target: str = 'query',
  query_set: Batch | None = None,
  classes: Any = None,
  attack: Attacks = 'auto',
  learners: int = 1,
  fpr: float = 0.01,
  budget: float | None = None,
  seed: int = 0,
  store: str | os.PathLike[str] | None = None,
  progress: bool | None = None,
) -> UpdateReport:
  """Tells which of some candidates were in the data behind one update, each with a p-value.

  The attack is chosen on tasks that are simulated with public images, before any candidate is
  looked at. Each candidate's score is then ranked among those of public images of its class
  that were not in the task: (1 + #{as high}) / (1 + number) is its p-value, which is exact if
  public images and candidates are alike but for membership.

  Decisions are corrected for many candidates by the procedure of Benjamini and Hochberg at
  level `fpr`: on average at most a share of `fpr` of those called are non-members; any one
  non-member is called with a probability of at most `fpr`; and where no candidate is a member,
  any is called with a probability of at most `fpr`.

  Args:
    loss_fn: the task's loss: `(params, Batch) -> scalar`, a mean over the batch.
    params: the parameters w that were sent out.
    received: what a learner sent; or a list of what it sent of one task, or of pairs of the
      parameters and what was sent in turn.
    candidates: images with the slots that their class has in the task, as `Batch(images,
      labels)`; or images alone, with their slots as `labels`.
    public: images of the same classes, none of them the learner's: of `from_arrays`, a `Pool`,
      or a `Batch` (or pair) whose labels are slots.
    learner: how the learner adapts, what it sends and what protects it.
    labels: slots of the candidates, where these are images alone; otherwise those of the images
      in the set that is sought, from which `ways` and `shots` follow.
    ways: classes of the task; those of `public` by default.
    shots: images of each class in each of the task's two sets, 1 by default.
    target: the set that candidates may be in: 'query' or 'support'.
    query_set: the query set, where the support set is sought and the query set known.
    classes: the class in `public` that each slot holds; needed where it has others.
    attack: an attack or its name; or several of these, or 'auto', to choose among.
    learners: the number of learners whose updates were added up in `received`.
    fpr: level of the decisions.
    budget: seconds that attacks may take together, those of the candidates' scores included.
      Cheap ones are tried first; one that would not end in time is stopped after its first
      images, and named in a warning. By default 300 for 'auto', and `math.inf`, no limit, for
      all other `attack`s.
    seed: seed of all randomness.
    store: a folder for the scores, from which the same call goes on after an interruption, with
      the same numbers. Another update of the same w finds those of simulated tasks there.
    progress: show a bar; by default on a terminal only.

  Raises:
    InputError: if an argument is none of the above, public images are too few to be divided
      or for any candidate to be called, no attack applies, or none ends in time.
    Diverged: if a score of a candidate is not finite.
  """
  _check(learner, target=target, learners=learners, fpr=fpr)
  seconds = seconds_of(budget, is_auto=is_word(attack, 'auto'))
  ways, shots, labels = inputs.task_shape(candidates, labels, ways=ways, shots=shots)
  given = inputs.public_of(public)
  rows = inputs.slots_of(given.pool, classes, ways=ways)
  asked, notes = inputs.candidates_of(candidates, labels, ways=len(rows))
  rules = Rules(len(rows), shots or 1, target, learners=learners)
  rows, shares = without_copies(given.pool, rows, asked.images), division_for(attack, rules)
  parts = divide(given.pool, rows, shares, seed=seed)
  check_callable(parts, np.asarray(asked.labels), shares, fpr=fpr)
  options: Any = {'query_set': query_set, 'seed': seed}
  question = make_question(loss_fn, params, learner, rules, asked, parts, **options)
  rounds = inputs.rounds_of(params, received, question.setup.seen.message, learners=learners)
  options = {'budget': Budget(seconds), 'store': store, 'progress': progress}
  chosen, scored = _scored(question, rounds, attack, **options)
  kind = 'slots' if classes is None else 'classes'
  said = Said(learner, len(rounds), fpr, shots, _changed(notes, given, kind), shares)
  return make_update_report(question, chosen, scored, read_off(question, rounds[0]), said)


def _scored(
  question: Question, rounds: Sequence[inputs.Round], attack: Attacks, **options: Any
) -> tuple[Chosen, Scored]:
  """The attack on an update, and its scores; options of `open_desk`."""
  attacks = choose(attack, question.setup, argument='attack')
  images = asked_of(question, rounds)
  tried = 0 if is_single(attack) else len(attacks.attacks)
  count = sum(one.size for one in images) + tried * simulation.TASKS
  with open_desk(question, attacks, count=count, **options) as desk:
    chosen = choose_attack(desk, images) if tried else the_only(desk)
    return chosen, score_candidates(desk, images, chosen.name, is_tried=bool(tried))


def _check(learner: Any, *, target: str, learners: int, fpr: float) -> None:
  """Refuses what no update can be asked about with."""
  checks.one_of('target', target, checks.TARGETS)
  declared.check(learner)
  check_target(as_learner(learner), target)
  checks.whole('learners', learners, least=1)
  if not 0 < fpr < 1:
    raise InputError(f'fpr must be between 0 and 1, not {fpr}')


def _changed(notes: Sequence[str], given: inputs.Public, kind: str) -> tuple[str, ...]:
  """Sentences on what was changed in candidates, in public images and in their labels."""
  return (
    *wording.remarks('candidates', notes),
    *wording.remarks('public images', given.notes),
    *wording.numbered(given.names, kind),
  )
