"""How a command starts, before JAX is imported: streams, signals, its environment."""

import os
import sys

from experiments.process import preemption, program


def prepare() -> None:
  """Sets what SciPy reads from the environment when it is first imported."""
  # LAPACK's threads and JAX's devices would wait for each other: small matrices then take
  # hundreds of times as long. A setting wins.
  os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')


def begin() -> None:
  """Makes printing harmless, heeds signals, and imports JAX, which may refuse its environment.

  That ends the process as a mistake of the user's does: one line, and exit status 2.
  """
  program.fill_descriptors()
  preemption.end_at_once()
  os.environ['MPLBACKEND'] = 'agg'  # pictures are files; a wrong name would be refused
  try:
    import jax  # noqa: F401
  except ValueError as error:  # it names the variable
    program.say(str(error))
    sys.exit(2)
  from experiments.process import output  # not before JAX, which it imports

  output.protect()
