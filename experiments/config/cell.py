"""A cell: one attack on one model, as a nested and frozen configuration."""

import dataclasses
import itertools
import math
from typing import Any, Self

from experiments.config.attacks import (
  Combination,
  Unplayable,
  attack_name,
  check_withheld,
  fixed_threshold,
  is_bound,
  needs,
  parts_of,
)
from experiments.config.fields import number
from experiments.config.sections import (
  STEPS,
  UNDEFENDED,
  Data,
  Defence,
  Execution,
  Game,
  Inner,
  Model,
  Section,
  Task,
  withheld_text,
)
from experiments.process.bounds import SEED, Bounds
from mamljax.attacks import Reconstruction
from mamljax.audit.trials import Rules


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(Section):
  """Everything that determines the parameters of a model, except the number of epochs.

  Attributes:
    data, model, task, inner, defence: see each.
    seed: seed of everything random: pools, parameters, training, trials.
  """

  data: Data = dataclasses.field(default_factory=Data)
  model: Model = dataclasses.field(default_factory=Model)
  task: Task = dataclasses.field(default_factory=Task)
  inner: Inner = dataclasses.field(default_factory=Inner)
  defence: Defence = dataclasses.field(default_factory=Defence)
  seed: int = number(0, SEED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell(Recipe):
  """One attack on one model: the subject of a line of results.csv.

  Attributes:
    game, execution: see each.
    attack: an attack, a bound that none can pass, or a `Combination`.
  """

  game: Game = dataclasses.field(default_factory=Game)
  attack: Any = dataclasses.field(default_factory=Reconstruction)
  execution: Execution = dataclasses.field(default_factory=Execution)

  def __post_init__(self):
    super().__post_init__()
    self._check_attack()
    self._check_game()
    self._check_protocol()
    if self.threshold is None:
      Bounds(2, math.inf, 'trials').check('calibration_trials', self.game.calibration_trials)

  def _check_attack(self) -> None:
    """Refuses an attack that cannot be played against this network, set and knowledge."""
    check_withheld(self.attack, self.game.target, self.game.withheld_names)
    for part in parts_of(self.attack):
      told = needs(part, self.game.target)
      if 'separate_images' in told and self.model.normalization == 'batch':
        raise Unplayable(
          f'attack {attack_name(part)!r} needs images that do not see each other: '
          f"normalization 'none' or 'group', not 'batch'"
        )

  def _check_game(self) -> None:
    """Refuses several learners or other non-members where the attack has no score for them."""
    game, bound = self.game, is_bound(self.attack)
    alone = bound or isinstance(self.attack, Combination) or game.participations > 1
    asked: dict[str, Any] = {'learners': 1} if alone else {}
    asked |= {'non_members': 'same_class'} if bound else {}
    for name, value in asked.items():
      if getattr(game, name) != value:
        several = ' on several participations' if game.participations > 1 else ''
        raise Unplayable(
          f'attack {self.attack_name!r}{several} is for the game with {name}={value!r} only, '
          f'not {getattr(game, name)!r}'
        )
    if game.epoch < game.participations - 1:
      raise Unplayable(
        f'{game.participations} participations, the last so many epochs, need '
        f'--epochs={game.participations - 1} or more, not {game.epoch}'
      )

  def _check_protocol(self) -> None:
    """Refuses what the task-learners of a protocol do not send, or nobody trains."""
    protocol, game = self.inner.protocol, self.game
    if protocol in STEPS and game.target == 'query':
      raise Unplayable(f'protocol {protocol!r} sends nothing of the query set')
    if protocol in (*STEPS, 'imaml') and (self.inner.order, game.assumed_order) != (2, 0):
      raise Unplayable(
        f'protocol {protocol!r} has no order: it goes with --orders=2, and no assumed one'
      )
    if protocol == 'meta_sgd' and max(game.epoch, game.learning_epoch) >= 1:
      raise Unplayable("the rates of 'meta_sgd' are not trained: it is for --epochs=0")

  @property
  def attack_name(self) -> str:
    """The name of the attack as it is typed."""
    return attack_name(self.attack)

  @property
  def threshold(self) -> float | None:
    """The threshold known beforehand; None if calibration trials choose it."""
    return fixed_threshold(
      self.attack,
      self.game.target,
      defended=self.defence.points != UNDEFENDED,
      protocol=self.inner.protocol,
      participations=self.game.participations,
    )

  @property
  def rules(self) -> Rules:
    """The rules of a trial."""
    task, game = self.task, self.game
    return Rules(task.ways, task.shots, game.target, game.learners, game.non_members)

  @property
  def recipe(self) -> Recipe:
    """The recipe of the model that is attacked."""
    names = (field.name for field in dataclasses.fields(Recipe))
    return Recipe(**{name: getattr(self, name) for name in names})

  @property
  def alone(self) -> list[Self]:
    """One cell for each gradient and each attack behind the score, on the same trials."""
    game = self.game
    epochs = range(game.epoch - game.participations + 1, game.epoch + 1)
    return [
      dataclasses.replace(self, attack=part, game=_of_part(game, part, epoch))
      for part, epoch in itertools.product(parts_of(self.attack), epochs)
    ]


def _of_part(game: Game, part: Any, epoch: int) -> Game:
  """The game of one attack on one gradient."""
  one = dataclasses.replace(game, epoch=epoch, participations=1)
  return as_told(one, needs(part, game.target))


def as_told(game: Game, told: frozenset[str]) -> Game:
  """The game without the knowledge that its attack does not require."""
  return dataclasses.replace(
    game,
    withheld=withheld_text(game.withheld_names & told),
    references=game.references if 'references' in told else None,
    assumed_order=game.assumed_order if 'inner_loop' in told else 0,
  )
