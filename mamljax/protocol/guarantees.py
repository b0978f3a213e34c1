"""Guarantees of a defended learner, by what they protect: the whole task, or a part of it.

Clipped and noised steps of the adaptation make the adapted parameters theta private in the
support set, each step being a release of its own. What is sent is then private, too, if nothing
else of it depends on the support set: first-order MAML sends the query gradient at theta, and
Reptile and weight deltas theta itself (post-processing). Second-order and implicit MAML
differentiate through the steps: the Hessian of the raw support set is in what they send, and
nothing is guaranteed.
"""

import math
from typing import Any

from mamljax.defences.defence import Defence, Hook, Mechanism, parts_of, per_example
from mamljax.errors import InputError
from mamljax.protocol.learner import Learner

# What may be replaced by another, and in words what is protected.
PROTECTED = {
  'task': 'the whole task',
  'support set': 'the whole support set',
  'support example': 'one example of the support set',
  'query example': 'one example of the query set',
}


def guarantees(
  defence: Defence, learner: Learner, *, delta: float, rounds: int = 1
) -> dict[str, float]:
  """The finite epsilons of a defence, by what is replaced by another, a key of `PROTECTED`.

  Those of a part of a task are left out where the guarantee of the whole is as good.

  Args:
    defence: the defence.
    learner: the declaration of the learner that it protects, on which it depends whether noise
      on the adaptation protects anything.
    delta: above 0 and below 1.
    rounds: the number of messages that a learner sends of the same task.
  """
  terms, steps = _adapting(defence.inner, learner)
  mechanisms: dict[str, tuple[Any, int]] = {
    'task': (defence, rounds),
    'support set': (steps, rounds * learner.steps),
    'support example': (terms, rounds * learner.steps),
    'query example': (per_example(defence.outgoing), rounds),
  }
  found = {
    name: guaranteed(one, delta=delta, rounds=count)
    for name, (one, count) in mechanisms.items()
  }
  whole = math.inf if found['task'] is None else found['task']
  return {
    name: e for name, e in found.items() if e is not None and (name == 'task' or e < whole)
  }


def _adapting(hook: Hook | None, learner: Learner) -> tuple[Any, Any]:
  """The mechanisms on terms and on whole gradients of the steps, if they protect anything."""
  is_processed = learner.kind.is_first_order or learner.kind.descends
  if not is_processed or not learner.steps:
    return None, None
  whole = next((part for part in parts_of(hook) if isinstance(part, Mechanism)), None)
  return per_example(hook), whole


def guaranteed(mechanism: Any, *, delta: float, rounds: int = 1) -> float | None:
  """The finite epsilon of a defence, or of a mechanism of it; None if it guarantees none.

  Args:
    mechanism: the defence, whose epsilon is that of the whole task, or the mechanism, or None.
    delta: above 0 and below 1.
    rounds: the number of its releases.
  """
  if mechanism is None:
    return None
  try:
    epsilon = mechanism.epsilon(delta, rounds=rounds)
  except InputError:
    return None
  return epsilon if math.isfinite(epsilon) else None
