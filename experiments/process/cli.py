"""How every command starts, and how it ends when the user made a mistake: one clear line."""

import contextlib
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import jax
from absl import app, flags, logging

from experiments.process import arguments, compilation_cache, output, preemption
from mamljax.errors import Diverged, InputError, unknown


def run(main: Callable[[Sequence[str]], None], *, resumes: bool = False) -> None:
  """Runs `main` on the command line, within `guarded`."""
  logging.set_verbosity(logging.WARNING)  # JAX tells at INFO of each backend that is not there

  def checked(argv: Sequence[str]) -> None:
    _pin_randomness()
    _refuse_without_compiler()
    if argv[1:]:
      raise InputError(f'unexpected argument {argv[1]!r}: options are given as --name=value')
    main(argv)

  with guarded(resumes=resumes):
    app.run(checked, flags_parser=_parse)


@contextlib.contextmanager
def guarded(*, resumes: bool = False) -> Iterator[None]:
  """Within it what the user must know ends the process with one line on standard error.

  A wrong flag, an `InputError`, what `Diverged` and a platform that JAX cannot start on: exit
  status 2. A wish to stop: as `interruption` has it. Trouble with what is printed is nobody's.

  Args:
    resumes: whether the same command goes on where it was stopped.
  """
  with output.protected(), preemption.handled(), _in_one_line(resumes):
    yield


@contextlib.contextmanager
def _in_one_line(resumes: bool) -> Iterator[None]:
  try:
    yield
  except (InputError, Diverged, flags.Error) as error:
    _stop(_said(error))
  except KeyboardInterrupt:
    output.complain('asked to stop' + '; the same command goes on from here' * resumes)
    preemption.leave()
  except Exception:
    if reason := _refused_platform():
      _stop(reason)
    raise


def _parse(argv: Sequence[str]) -> list[str]:
  """Reads the flags; what is left are arguments that are none."""
  expanded = arguments.expand(argv)
  if {'--help', '-help', '-h', '--h'} & set(expanded):
    print(inspect.getdoc(sys.modules['__main__']), *_our_flags(), sep='\n')
    sys.exit(0)
  try:
    return flags.FLAGS(expanded)
  except ValueError as error:  # of absl's own flags
    raise InputError(str(error)) from error


def _said(error: Exception) -> str:
  """What an error says; absl shows the reason of some as a tuple."""
  reason = error.__context__
  if not isinstance(reason, ValueError) or len(reason.args) < 2:
    return str(error)
  return str(error).replace(str(reason), ' '.join(map(str, reason.args)))


def _refused_platform() -> str | None:
  """Why JAX does not start here, which is a matter of its environment; None if it does."""
  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:
    told = os.environ.get('JAX_PLATFORMS', '')
    return f'JAX cannot start (JAX_PLATFORMS={told}): {str(error) or "no plugin for it"}'


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


def group(title: str) -> str:
  """The name, for absl, of a group of flags that `--help` shows under a title."""
  return f'{_OURS}: {title}'


_OURS = 'experiments'


def _our_flags() -> list[str]:
  """The help of the flags that the experiments define, not of absl's own, group by group."""
  lines = []
  for module, found in flags.FLAGS.flags_by_module_dict().items():
    if module.startswith(_OURS) or module == sys.argv[0]:
      title = module.partition(': ')[2] or 'flags'
      lines += ['', f'{title}:', *map(_help, sorted(found, key=lambda flag: flag.name))]
  return lines


def _help(flag: flags.Flag) -> str:
  """The help of one flag, with its default where that says something."""
  told = ' '.join((flag.help or '').split())
  says = flag.default not in (None, '', False, []) and '(default' not in told
  told += f' (default: {flag.default_as_str})' if says else ''
  return textwrap.fill(
    f'  --{flag.name}: {told}', width=96, subsequent_indent=' ' * 6, break_on_hyphens=False
  )


def _stop(message: str) -> None:
  output.complain(message)
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
  home = _cache_home() if jax.config.values['jax_compilation_cache_dir'] is None else None
  if home and compilation_cache.make_private(folder := home / 'mamljax' / 'xla'):
    jax.config.update('jax_compilation_cache_dir', str(folder))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)
  compilation_cache.mend()


def _cache_home() -> Path | None:
  """The user's cache folder; None for a user without a home."""
  try:
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
  except RuntimeError:
    return None
