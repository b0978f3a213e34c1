"""Lets TFDS prepare data sets where TensorFlow is not installed.

TFDS and its builders use TensorFlow for little more than to open files. While a data set is
prepared, their modules are given Python's own functions under TensorFlow's names.
"""

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Iterator
from types import SimpleNamespace
from unittest import mock


class _StandIn(SimpleNamespace):
  """A stand-in for a module, with an error that names any attribute it lacks."""

  def __getattr__(self, name: str):
    if name.startswith('__'):  # Python itself probes for these
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

  TensorFlow is used where it is installed. A download fails after 3 attempts, which without a
  network takes seconds, rather than after TFDS's 10, which takes minutes.

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
  """Replaces a module's `tf`, if it has one, by the stand-in until the stack is closed."""
  module = importlib.import_module(name)
  if hasattr(module, 'tf'):
    stack.enter_context(mock.patch.object(module, 'tf', _TENSORFLOW))
