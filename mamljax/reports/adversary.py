"""Threat model of an audit: the knowledge of the adversary, with words for the report."""

import dataclasses
from typing import Any

from mamljax.attacks.base import Attack, name_of, needs_of
from mamljax.attacks.knowledge import Knowledge
from mamljax.defences import Defence
from mamljax.errors import InputError
from mamljax.types import Pool

_WITHHOLDABLE = ('classes', 'query_set')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversary:
  """Knowledge of the adversary beyond the loss, w and what it receives; by default all of it.

  Attributes:
    references: public images of the data's distribution, none of them a learner's.
    classes: the class that each slot of a task holds.
    query_set: the query set, where the support set is sought.
    learner: the inner loop that learners run.
    defence: the protection of learners, as they publish it.
  """

  references: bool = True
  classes: bool = True
  query_set: bool = True
  learner: bool = True
  defence: bool = True

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if not isinstance(value, bool):
        raise InputError(f"the adversary's {field.name} must be True or False, not {value!r}")

  @property
  def withheld(self) -> frozenset[str]:
    """Names of what is withheld of an observation; see `Knowledge.withheld`."""
    return frozenset(name for name in _WITHHOLDABLE if not getattr(self, name))

  def knowledge(
    self,
    loss_fn: Any,
    params: Any,
    *,
    learner: Any,
    defence: Defence,
    references: Pool,
    target: str,
    ways: int,
    shots: int,
    **options: Any,
  ) -> Knowledge:
    """The knowledge for attacks: what this adversary is not given is left out.

    Args:
      loss_fn: the task's loss.
      params: the meta-knowledge w.
      learner: the inner loop.
      defence: the learners' defence.
      references: public images, equally many of each class.
      target: the set that is sought.
      ways: slots of a task.
      shots: images of a slot in each set.
      **options: other fields of `Knowledge`.
    """
    return Knowledge(
      loss_fn=loss_fn,
      params=params,
      inner=learner if self.learner else None,
      references=references if self.references else None,
      defence=defence if self.defence else None,
      target=target,
      ways=ways,
      shots=shots,
      withheld=self.withheld,
      **options,
    )

  def refusal(self, attack: Attack, target: str, *, defended: bool) -> str | None:
    """The reason why this adversary cannot run an attack on a set; None if it can."""
    try:
      needs = needs_of(attack, target, withheld=self.withheld)
    except InputError as error:
      return str(error)
    # It takes learners for undefended, as they are, or an attack can do without.
    if not defended or 'defence' in attack.optional.get(target, ()):
      needs -= {'defence'}
    lacking = [words for name, words in _LACKING.items() if name in needs - self._known]
    if not lacking:
      return None
    return f'attack {name_of(attack)!r} needs {" and ".join(lacking)}: this adversary has not'

  @property
  def _known(self) -> frozenset[str]:
    """Names, as attacks have them, of the needs that this adversary meets; see `base.Need`."""
    told = {name: getattr(self, name) for name in ('references', 'defence')}
    return frozenset(need for need, has in {**told, 'inner_loop': self.learner}.items() if has)

  def describe(self, target: str) -> list[str]:
    """Sentences about what is known and what is not."""
    told = {
      'the loss and the parameters w': True,
      'public images of the same classes, none of them private': self.references,
      'the class that each slot holds': self.classes,
      'the inner loop that learners run': self.learner,
      "the learners' defence, as published": self.defence,
    }
    if target == 'support':
      told['the query set'] = self.query_set
    known, unknown = ([what for what in told if told[what] == has] for has in (True, False))
    sentences = [f'The adversary knows {_listed(known)}.']
    if unknown:
      sentences.append(
        f'It does not know {_listed(unknown)}: one that does may find more than is reported.'
      )
    return sentences


_LACKING = {
  'references': 'public images',
  'inner_loop': 'the inner loop',
  'defence': 'the defence',
}


def _listed(parts: list[str]) -> str:
  """Words joined by commas and 'and'."""
  return ' and '.join(filter(None, [', '.join(parts[:-1]), parts[-1]]))
