"""Desk of an audit of one update: attacks score images there, a block at a time.

Scores are kept as they come, so that the same question goes on from them, and each attack's
pace is known after its first block.
"""

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax.attacks.base import required
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation
from mamljax.audit import compiling
from mamljax.audit.game import show_required
from mamljax.audit.side_by_side import Player, make_player
from mamljax.reports import fingerprints, simulation
from mamljax.reports.budget import Budget, Pace
from mamljax.reports.choice import Choice
from mamljax.reports.plan import of_attack, of_setting
from mamljax.reports.progress import Progress
from mamljax.reports.questioning import PREPARE, Question
from mamljax.reports.store import Kept, Store
from mamljax.types import Params

_BLOCK = 8  # images that are scored between two looks at the clock


class Asked(NamedTuple):
  """Images to be scored for one update, or each for one of its own.

  Attributes:
    purpose: their name among others.
    params: the parameters w that were sent out before.
    key: of the attack's randomness.
    seen: the observation of all images, or of each, [n].
    candidates: the images, [n].
    is_shared: True if one observation is of all of them.
    source: all that they are made of, beside what the question knows.
  """

  purpose: str
  params: Params
  key: jax.Array
  seen: Observation
  candidates: Candidate
  is_shared: bool
  source: Any

  @property
  def size(self) -> int:
    """The number of images."""
    return len(self.candidates.label)


class Desk(NamedTuple):
  """Place where attacks score images, with what they need.

  Attributes:
    question: the question.
    chosen: the attacks.
    store: where scores are found and kept.
    setting: the fingerprint of the question's setting; '' where nothing is kept on disk.
    budget: the time that attacks may take together.
    bar: shows how far they are.
    players: attacks that were prepared, by name and parameters.
    files: names of scores, by attack and purpose.
  """

  question: Question
  chosen: Choice
  store: Store
  setting: str
  budget: Budget
  bar: Progress
  players: dict[tuple[str, str], Player]
  files: dict[tuple[str, str], str]

  def score(self, name: str, asked: Asked) -> Iterator[Pace]:
    """Scores with an attack the images that are left to it, and keeps their scores.

    Yields:
      Its pace on these images so far: where scores were kept before, and after each block.

    Raises:
      InputError: if the attack does not apply.
    """
    self.bar.leave_out(len(self.kept(name, asked).scores))
    while True:
      kept = self.kept(name, asked)
      start = len(kept.scores)
      if start:
        yield Pace(kept.seconds, start, asked.size - start)
      if start >= asked.size:
        return
      self.bar.say(f'{name}: {asked.purpose}')
      player, rows = self._player(name, asked.params), start + np.arange(_BLOCK)
      begin, compiled = time.perf_counter(), compiling.seconds()
      scores = _scores(player, asked, rows)
      running = time.perf_counter() - begin - (compiling.seconds() - compiled)
      is_last = start + len(scores) == asked.size
      added: Any = self._file(name, asked), start, scores, max(running, 0.0)
      self.store.add(*added, is_urgent=is_last)
      self.bar.advance(len(scores))

  def kept(self, name: str, asked: Asked) -> Kept:
    """The scores of an attack that are kept, and the time that they took."""
    return self.store.load(self._file(name, asked))

  def left(self, name: str, rounds: Sequence[Asked]) -> int:
    """The number of images that are left to an attack."""
    return sum(one.size - len(self.kept(name, one).scores) for one in rounds)

  def ahead(self, name: str, asked: Asked, rounds: Sequence[Asked]) -> float:
    """The seconds that an attack will take for others, by its pace on some images."""
    kept = self.kept(name, asked)
    return Pace(kept.seconds, len(kept.scores), self.left(name, rounds)).ahead

  def _player(self, name: str, params: Params) -> Player:
    """The attack, prepared for some parameters."""
    at = name, fingerprints.of(params)
    if at not in self.players:
      known: Knowledge = dataclasses.replace(self.question.setup.knowledge, params=params)
      attack, key = self.chosen.attacks[name], self.question.stream(PREPARE)
      compiled = self.chosen.compiled(name)
      self.players[at] = make_player(key, name, attack, known, compiled=compiled)
    return self.players[at]

  def _file(self, name: str, asked: Asked) -> str:
    """The name of the scores of an attack, by all that they depend on."""
    at = name, asked.purpose
    if at not in self.files:
      self.files[at] = '-'.join(filter(None, (*at, self._fingerprint(name, asked))))
    return self.files[at]

  def _fingerprint(self, name: str, asked: Asked) -> str:
    """The fingerprint of some scores; '' where nothing is kept on disk."""
    if not self.setting:
      return ''
    attack = self.chosen.attacks[name]
    computed = of_attack(attack, self.question.setup)
    own = attack, _BLOCK, asked.purpose, asked.source
    return fingerprints.of(self.setting, computed, own)


@contextlib.contextmanager
def open_desk(
  question: Question,
  chosen: Choice,
  *,
  budget: Budget,
  store: str | os.PathLike[str] | None,
  count: int,
  progress: bool | None,
) -> Iterator[Desk]:
  """Context of a desk, with a bar while it is open.

  Args:
    question: the question.
    chosen: the attacks.
    budget: the time that they may take together.
    store: a folder for scores, or None.
    count: the number of images to score.
    progress: see `Progress`.
  """
  setting = ''
  if store is not None:  # it takes a second or two to trace
    setting = of_setting(question.setup, question.rules, seed=question.key)
  with Progress(total=count, done=0, shown=progress) as bar:
    yield Desk(question, chosen, Store(store), setting, budget, bar, {}, {})


def _scores(player: Player, asked: Asked, rows: np.ndarray) -> np.ndarray:
  """The scores of some images; rows beyond the last, which fill up a block, have none."""
  here = jnp.asarray(np.minimum(rows, asked.size - 1))

  def some(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[here], tree)

  keys = some(jax.random.split(asked.key, asked.size))
  seen = show_required(asked.seen, required(player.attack, player.knowledge))
  given = seen if asked.is_shared else some(seen), some(asked.candidates)
  arguments = keys, player.attack, player.prepared, *given
  static: Any = {'kind': type(player.attack), 'is_shared': asked.is_shared}
  score, _ = player.compiled(simulation.score_images, *arguments, **static)
  found = score(*arguments)
  return np.asarray(found)[: np.count_nonzero(rows < asked.size)]
