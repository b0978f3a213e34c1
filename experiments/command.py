"""How every command starts, and how it ends when the user made a mistake: one clear line."""

import inspect
import io
import os
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NoReturn

# LAPACK's threads and JAX's devices would wait for each other: small matrices then take
# hundreds of times as long. SciPy reads this when it is first imported; a setting wins.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

import jax
from absl import app, flags, logging

from experiments import interruption
from mamljax.errors import InputError, unknown


def run(main: Callable[[Sequence[str]], None]) -> None:
  """Runs `main` on the command line.

  A wrong flag, and an `InputError` that `main` raises, end as one line on standard error and
  exit status 2; `Interrupted` as one line and `interruption.STATUS`.
  """
  program = Path(sys.argv[0]).stem
  _print_any_name()
  logging.set_verbosity(logging.WARNING)  # JAX tells at INFO of each backend that is not there

  def guarded(argv: Sequence[str]) -> None:
    try:
      _pin_randomness()
      _refuse_without_compiler()
      if argv[1:]:
        raise InputError(f'unexpected argument {argv[1]!r}: options are given as --name=value')
      main(argv)
    except InputError as error:
      _stop(program, error)
    except interruption.Interrupted:
      print(f'{program}: asked to stop; the same command goes on from here', file=sys.stderr)
      sys.exit(interruption.STATUS)

  def parse(argv: Sequence[str]) -> list[str]:
    try:
      if {'--help', '-help', '-h', '--h'} & set(argv):
        print(inspect.getdoc(sys.modules['__main__']), *_our_flags(), sep='\n')
        sys.exit(0)
      return flags.FLAGS(argv)
    except flags.Error as error:
      _stop(program, error)

  app.run(guarded, flags_parser=parse)


def _pin_randomness() -> None:
  """Has trials drawn by one generator, whatever the environment says of JAX's.

  Its numbers are part of what a seed means, and the same on any number of devices.
  """
  for name, value in _RANDOMNESS.items():
    if (said := jax.config.values[name]) != value:
      print(f'{name}={said} is not used: a seed means the trials of {value}', file=sys.stderr)
      jax.config.update(name, value)


_RANDOMNESS = {'jax_default_prng_impl': 'threefry2x32', 'jax_threefry_partitionable': True}


def _refuse_without_compiler() -> None:
  """Refuses a JAX that is told not to compile: some of it fails, the rest takes days."""
  if jax.config.values['jax_disable_jit']:
    raise InputError('JAX_DISABLE_JIT keeps JAX from compiling: unset it')


def _print_any_name() -> None:
  """Has a file's name printed that the terminal's encoding has not, its bytes escaped."""
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors='backslashreplace')


def _our_flags() -> list[str]:
  """The help of the flags that the experiments define, not of absl's own."""
  modules = flags.FLAGS.flags_by_module_dict()
  ours = (name for name in modules if name.startswith('experiments') or name == sys.argv[0])
  return [flags.FLAGS.module_help(name) for name in ours]


def _stop(program: str, error: Exception) -> NoReturn:
  line = ' '.join(str(error).split())
  print(f'{program}: {line}', file=sys.stderr)
  sys.exit(2)


def chosen(kind: str, flag: flags.FlagHolder, known: Collection[str]) -> list[str]:
  """The names that a list flag holds, each once.

  Raises:
    InputError: if it holds none, or one that is not known.
  """
  names = list(dict.fromkeys(name.strip() for name in flag.value))
  if not names:
    raise InputError(f'no value is given for {flag.name}')
  for name in names:
    if name not in known:
      raise unknown(kind, name, known)
  return names


def quick_folder(folder: Path) -> Path:
  """Where a quick look at what goes into `folder` is kept: beside it, as FOLDER_quick."""
  named = folder if folder.name not in ('', '..') else folder.resolve()
  return named.with_name(f'{named.name}_quick')


def use_all_cores() -> None:
  """Gives JAX one CPU device per core, over which trials are shared out.

  XLA's own threads speed up one small network little; results do not depend on the number
  of devices. Must be called before JAX is used. An explicit setting wins.
  """
  chosen = 'xla_force_host_platform_device_count' in os.environ.get('XLA_FLAGS', '')
  if not chosen and 'JAX_NUM_CPU_DEVICES' not in os.environ:
    usable = getattr(os, 'sched_getaffinity', lambda _: range(os.cpu_count() or 1))(0)
    jax.config.update('jax_num_cpu_devices', len(usable))


def cache_compilations() -> None:
  """Keeps XLA's compilations in the user's cache folder, unless JAX was told another."""
  if jax.config.values['jax_compilation_cache_dir'] is None:
    home = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    jax.config.update('jax_compilation_cache_dir', str(home / 'mamljax' / 'xla'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)
