"""Guarantees of a defended learner, by what they protect: the whole task, or a part of it."""

import math
from typing import Any

from mamljax.defences.defence import Defence, per_example
from mamljax.errors import InputError

# What may be replaced by another, and in words what is protected.
PROTECTED = {
  'task': 'the whole task',
  'query example': 'one example of the query set',
}


def guarantees(defence: Defence, *, delta: float, rounds: int = 1) -> dict[str, float]:
  """The finite epsilons of a defence, by what is replaced by another, a key of `PROTECTED`.

  Those of a part of a task are left out where the guarantee of the whole is as good.

  Args:
    defence: the defence.
    delta: above 0 and below 1.
    rounds: the number of messages that a learner sends of the same task.
  """
  mechanisms: dict[str, Any] = {
    'task': defence,
    'query example': per_example(defence.outgoing),
  }
  found = {name: _finite(one, delta, rounds) for name, one in mechanisms.items()}
  whole = found['task']
  return {name: e for name, e in found.items() if e < (math.inf if name == 'task' else whole)}


def _finite(mechanism: Any, delta: float, rounds: int) -> float:
  """The epsilon of a mechanism; infinite if it guarantees none."""
  if mechanism is None:
    return math.inf
  try:
    return mechanism.epsilon(delta, rounds=rounds)
  except InputError:
    return math.inf
