"""Examples with labels, from a file of the user's or a data set by name."""

from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mamljax.data import load_dataset, npz
from mamljax.data.loading import FILE, file_of
from mamljax.errors import InputError
from mamljax.images import as_floats
from mamljax.types import Batch


class Labelled(NamedTuple):
  """Examples and the label of each.

  Attributes:
    inputs: [n, ...], as the file holds them.
    labels: [n].
  """

  inputs: np.ndarray
  labels: np.ndarray


def read(flag: str, source: str | None, *, data_dir: str | None = None) -> Labelled:
  """The examples that a flag names.

  Args:
    flag: the flag's name, for messages.
    source: `npz:PATH`, of a file with arrays `inputs` (or `images`) and `labels`, or the name
      of a data set that is prepared.
    data_dir: where data sets are prepared, if not in their usual place.

  Raises:
    InputError: if there is no such file or data set, or it lacks an array.
  """
  if not source:
    raise InputError(f'--{flag} must be npz:PATH or the name of a data set')
  if source.startswith(FILE):
    return _read_npz(file_of(source))
  dataset = load_dataset(source, data_dir=data_dir)
  return Labelled(dataset.images, dataset.labels)


def batch(flag: str, source: str | None) -> Batch:
  """The examples that a flag names, with their slots, as a model sees them.

  Bytes are images of 0..255, which a model sees in [0, 1]; all else is as the file has it.
  """
  inputs, labels = read(flag, source)
  return Batch(as_floats(jnp.asarray(inputs)), jnp.asarray(labels))


def _read_npz(path: Path) -> Labelled:
  """The arrays of a file."""
  inputs = 'images' if 'images' in npz.names(path) else 'inputs'
  return Labelled(*npz.read(path, keys=(inputs, 'labels')))
