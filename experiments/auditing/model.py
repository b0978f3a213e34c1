"""Model of the user's own, named as `package.module:function`."""

import importlib
import sys
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from experiments.process import cli
from mamljax import InnerLoop, Learner, io
from mamljax.errors import InputError
from mamljax.types import LossFn, Params

HOW = 'a function of no arguments that returns (loss_fn, params) or (loss_fn, params, learner)'


class Model(NamedTuple):
  """A model to audit.

  Attributes:
    loss_fn: the task's loss, `(params, Batch) -> scalar`.
    params: the parameters that learners receive.
    learner: how learners adapt and what they send; None where flags tell it.
  """

  loss_fn: LossFn
  params: Params
  learner: Learner | InnerLoop | None = None


def define() -> None:
  """Defines the flags of a model."""
  group: dict[str, Any] = {'module_name': cli.group('model')}
  model = f'model to audit, package.module:function or file.py:function, {HOW}'
  flags.DEFINE_string('model', None, model, **group)
  params = 'parameters that learners received, .npz, .safetensors or .pt, in place of the made'
  flags.DEFINE_string('params', None, params, **group)
  layout = 'layout of arrays in files: jax, or torch for [out, in] and [out, in, height, width]'
  flags.DEFINE_string('layout', None, layout, **group)
  flatten = 'channels, height and width of what PyTorch flattens before its first dense layer'
  flags.DEFINE_list('flatten', None, flatten, **group)


def load() -> Model:
  """The model that the flags name, with parameters from a file where one is given.

  Raises:
    InputError: if there is no such function, what it returns is no loss with parameters, or
      the file does not fit them.
  """
  made = make(flags.FLAGS.model)
  if flags.FLAGS.params:
    return made._replace(params=read_like('params', made.params))
  return made


def read_like(flag: str, params: Params) -> Params:
  """The arrays in the file that a flag names, in the form of the parameters."""
  values = flags.FLAGS
  path = values[flag].value
  if not path:
    raise InputError(f'--{flag} must be a file: .npz, .safetensors or .pt')
  flatten = values.flatten and _sizes(values.flatten)
  return io.load(str(path), like=params, layout=values.layout, flatten=flatten)


def _sizes(texts: list[str]) -> tuple[int, int, int]:
  """Channels, height and width."""
  if len(texts) != 3 or not all(text.strip().isdecimal() for text in texts):
    raise InputError(
      f'--flatten={",".join(texts)} must be CHANNELS,HEIGHT,WIDTH, such as 64,4,4'
    )
  channels, height, width = map(int, texts)
  return channels, height, width


def make(spec: str | None) -> Model:
  """The model as a function of the user's makes it.

  Args:
    spec: `package.module:function`, or `path/to/file.py:function`; the folder where the command
      was typed is searched first, as by `python -m`.

  Raises:
    InputError: if there is no such function, or what it returns is no loss with parameters.
  """
  place, colon, name = (spec or '').rpartition(':')
  if not colon or not place or not name:
    raise InputError(f'--model={spec or ""} must be package.module:function, {HOW}')
  function = getattr(_module(place), name, None)
  if not callable(function):
    known = [n for n, value in vars(_module(place)).items() if callable(value)]
    raise InputError(
      f'--model: {place} has no function {name!r}, but {", ".join(known) or "none"}'
    )
  return _checked(function(), spec=f'{place}:{name}')


def _module(place: str) -> Any:
  """The module at a path, or of a dotted name."""
  path = Path(place)
  folder, name = (path.parent, path.stem) if path.suffix == '.py' else (Path(), place)
  if str(folder) not in sys.path:
    sys.path.insert(0, str(folder))
  try:
    return importlib.import_module(name)
  except ModuleNotFoundError as error:
    raise InputError(f'--model: no module {error.name!r} (for {place})') from error


def _checked(made: Any, *, spec: str) -> Model:
  """The model that a function returned, if it is a loss with parameters."""
  is_whole = isinstance(made, tuple | list) and len(made) in (2, 3)
  if not is_whole or not callable(made[0]):
    raise InputError(f'--model: {spec} must be {HOW}, but it returned {_kind(made)}')
  if len(made) == 3 and not isinstance(made[2], Learner | InnerLoop):
    raise InputError(
      f'--model: the third that {spec} returns must be a mamljax.Learner, such as '
      f'mamljax.Learner(1, 0.1), not {_kind(made[2])}'
    )
  return Model(*made)


def _kind(value: Any) -> str:
  """The type of a value, with those of the members of a tuple or list."""
  kind = type(value).__name__
  if not isinstance(value, tuple | list):
    return kind
  return f'{kind} of {", ".join(type(member).__name__ for member in value[:4]) or "nothing"}'
