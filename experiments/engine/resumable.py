"""Trials of a cell, kept for the case of an interruption, with pictures and their time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from experiments.config.cell import Cell
from experiments.config.streams import Stream, stream_key
from experiments.process.compilation import compile_once, memory_bytes
from experiments.store import cells
from experiments.store.reconstructions import Examples, make_examples
from experiments.store.trials import EXAMPLES, Block, Keeper, join
from mamljax.audit import blocks
from mamljax.audit.trials import Setting, is_member
from mamljax.types import Pool


class Scored(NamedTuple):
  """A phase of a cell: its trials, pictures of the first, and what it took.

  `seconds` is computation only; that of trials computed to fill the last block is left out.
  `label_accuracy` is that of inferred labels, None where they are known.
  """

  trials: cells.Trials
  examples: Examples | None
  label_accuracy: float | None
  seconds: float
  compile_seconds: float
  memory_bytes: float = 0.0


NOTHING = Scored(cells.Trials([], [], [], []), None, None, 0.0, 0.0)


def play(
  cell: Cell,
  setting: Setting,
  pool: Pool,
  *,
  stream: Stream,
  count: int,
  advance: Callable[[int], Any],
  keeper: Keeper | None = None,
  earlier: int = 0,
) -> Scored:
  """Plays trials 0..count-1 of a cell, each on a task of its own.

  Args:
    cell: what is played.
    setting: what its trials share; see `setting.make_setting`.
    pool: the images that tasks and candidates are drawn from.
    stream: `CALIBRATION` or `REPORTED`, whose trials of different streams are independent.
    count: how many trials; every other one has a member.
    advance: called with the number of trials done since it was last called.
    keeper: where to go on from, and where to keep what is played; nowhere if None.
    earlier: see `mamljax.audit.blocks.play_blocks`.

  Raises:
    Diverged: if an adaptation, a gradient or a score is not finite; it says in how many trials.
    Interrupted: if the process was asked to stop; what is played is kept.
  """
  kept = keeper.load(stream) if keeper else []
  done = sum(len(block.played.scores) for block in kept)
  if done:
    advance(min(done, count))
  options: dict[str, Any] = {'count': count, 'earlier': earlier, 'compiled': compile_once}
  key = stream_key(cell.seed, stream)
  for block in blocks.play_blocks(key, pool, setting, first=done, **options):
    kept.append(to_keep(block))
    here = len(block.played.scores)
    advance(min(here, count - done))
    done += here
    kept = keeper.keep(stream, kept) if keeper else [join(kept)]
  return _score(join(kept), count)


def to_keep(block: blocks.Block) -> Block:
  """The part of a block that is kept: everything but its executable, of which the memory."""
  played, candidates, seconds, compile_seconds, attack = block
  return Block(played, candidates, seconds, compile_seconds, memory_bytes(attack))


def _score(block: Block, count: int) -> Scored:
  """The first `count` trials of a block.

  Raises:
    Diverged: if a score is not finite.
  """
  blocks.check_scores(block.played, count)
  indices, played = np.arange(count), block.played
  trials = cells.Trials(
    scores=played.scores[:count].tolist(),
    members=is_member(indices).tolist(),
    tasks=indices.tolist(),
    located=played.located[:count].tolist(),
  )
  examples, shown = None, slice(min(EXAMPLES, count))
  if played.pictures is not None:
    examples = make_examples(block.candidates[shown], np.asarray(played.pictures)[shown])
  inferred = played.labels_right
  return Scored(
    trials,
    examples,
    label_accuracy=None if inferred is None else float(inferred[:count].mean()),
    seconds=block.seconds * count / len(played.scores),
    compile_seconds=block.compile_seconds,
    memory_bytes=block.memory_bytes,
  )
