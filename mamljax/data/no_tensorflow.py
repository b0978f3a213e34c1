"""Lets TFDS prepare data sets where TensorFlow is not installed.

TFDS and its builders use TensorFlow for little more than opening files. For the time of a
preparation, the modules concerned get Python's own functions under TensorFlow's names.
"""

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Iterator
from types import SimpleNamespace
from unittest import mock


class _StandIn(SimpleNamespace):
  """A namespace that says what it lacks."""

  def __getattr__(self, name: str):
    if name.startswith('__'):  # asked by Python itself
      raise AttributeError(name)
    raise ImportError(f'this needs TensorFlow (its {name}), which is not installed')


_GFILE = _StandIn(
  GFile=open, exists=os.path.exists, isdir=os.path.isdir, listdir=os.listdir, remove=os.remove
)
_TENSORFLOW = _StandIn(io=_StandIn(gfile=_GFILE), compat=_StandIn(as_text=str))
_CORE = 'tensorflow_datasets.core'


@contextlib.contextmanager
def without_tensorflow(builder_module: str) -> Iterator[None]:
  """Lets TFDS download, extract and shuffle without TensorFlow.

  Where TensorFlow is installed it is used. A download is given up after 3 attempts, in
  seconds where there is no network, not after TFDS's 10, in minutes.

  Args:
    builder_module: the module of the data set's official builder.
  """
  names = (f'{_CORE}.download.extractor', f'{_CORE}.shuffle', builder_module)
  installed = importlib.util.find_spec('tensorflow') is not None
  with contextlib.ExitStack() as stack:
    stack.enter_context(mock.patch(f'{_CORE}.download.downloader.MAX_RETRIES', 3))
    for name in () if installed else names:
      _replace(stack, name)
    yield


def _replace(stack: contextlib.ExitStack, name: str) -> None:
  """Puts the stand-in where the module has TensorFlow, until the stack is closed."""
  module = importlib.import_module(name)
  if hasattr(module, 'tf'):
    stack.enter_context(mock.patch.object(module, 'tf', _TENSORFLOW))
