"""Start of a command before JAX is imported: streams, signals and environment variables."""

import os
import sys

from experiments.process import preemption, program


def prepare() -> None:
  """Sets the environment variables that SciPy and JAX read when they are first imported.

  A setting of the user's takes precedence.
  """
  # LAPACK's threads and JAX's devices would wait for each other, so that small matrices take
  # hundreds of times as long.
  os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
  # Where each operation was called from is carried through the whole of a compilation.
  os.environ.setdefault('JAX_INCLUDE_FULL_TRACEBACKS_IN_LOCATIONS', '0')


def begin() -> None:
  """Makes printing harmless, handles signals, and imports JAX.

  If JAX refuses a value in its environment, the process ends as after any mistake of the
  user's: with one line and exit status 2.
  """
  program.fill_descriptors()
  preemption.end_at_once()
  os.environ['MPLBACKEND'] = 'agg'  # pictures go to files; an unknown backend would fail
  try:
    import jax  # noqa: F401
  except ValueError as error:  # its message names the variable
    program.say(str(error))
    sys.exit(2)
  from experiments.process import output  # imports JAX, so not before the check above

  output.protect()
