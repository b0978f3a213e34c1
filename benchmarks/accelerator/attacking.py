"""Trials of a cell on one device, ready to be attacked by a compiled program."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.timing import Compiler, Program
from experiments.config.cell import Cell
from experiments.config.columns import make_cell, option_fields
from experiments.config.streams import Stream, stream_key
from experiments.engine import models
from experiments.engine.setting import make_setting
from mamljax.audit import trials
from mamljax.audit.blocks import Ready, prepare_block
from mamljax.audit.compiling import Compile, as_needed
from mamljax.audit.placement import trials_mesh


class Attacked(NamedTuple):
  """Trials of a cell, in one chunk.

  Attributes:
    ready: the compiled attack and its arguments.
    program: the same program with its costs.
    prepare_seconds: time of the attack's preparation, compilation included.
  """

  ready: Ready
  program: Program
  prepare_seconds: float

  def run(self) -> Any:
    """Scores the trials."""
    return self.ready.attack(*self.ready.arguments)


def describe(sizes: Sizes, **fields: Any) -> Cell:
  """A cell of these sizes, with the options that its attack and its network have."""
  given = sizes.cell | fields
  owners = {given.get('network', 'conv4'), given.get('attack', 'reconstruction')}
  known = {field.column: field.attribute for owner in owners for field in option_fields(owner)}
  small = {name: sizes.options[of] for name, of in known.items() if of in sizes.options}
  fitting = {name: value for name, value in given.items() if '.' not in name or name in known}
  return make_cell(**small | fitting)


def attack(cell: Cell, *, units: int, at_once: int = 0) -> Attacked:
  """Draws and observes so many trials of an untrained model, and compiles their attack.

  Args:
    cell: the cell.
    units: number of trials.
    at_once: trials computed together; 0: all.
  """
  compiler = Compiler()
  ready, seconds = _ready(cell, units, at_once or units, compiler)
  return Attacked(ready, compiler.programs[trials.attack], seconds)


def observe(cell: Cell, *, units: int) -> Ready:
  """Trials of an untrained model, drawn and observed; their attack is not compiled."""
  return _ready(cell, units, units, as_needed)[0]


def _ready(cell: Cell, units: int, at_once: int, compiled: Compile) -> tuple[Ready, float]:
  """The trials, and the seconds of the attack's preparation."""
  splits = models.splits_of(cell, None)
  params = models.initial_state(cell.recipe, splits).params
  setting, seconds = make_setting(cell, params, splits.references)
  setting = dataclasses.replace(setting, chunk=at_once)
  key, mesh = stream_key(cell.seed, Stream.REPORTED), trials_mesh(devices=1)
  pool, indices = jax.device_put(splits.victims), jnp.arange(units)
  ready = prepare_block(key, pool, setting, indices, mesh, compiled=compiled)
  return ready, sum(seconds.values())


def members(units: int) -> np.ndarray:
  """The truths of trials 0..units - 1."""
  return np.asarray(trials.is_member(np.arange(units)))
