"""Everything, one after the other: `python -m experiments.reproduce --flagfile=...`.

Runs the command of each flagfile named in --parts, with results in OUT/<part> and what they
share in OUT/store, then writes the report. The same command again resumes.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.process import arguments, cli, preemption, subprocesses
from mamljax.errors import InputError, unknown

_PARTS = flags.DEFINE_list('parts', [], 'flagfiles to run, without folder and ending')
_OUTPUT_DIR = flags.DEFINE_string('output_dir', 'out/all', 'a folder for each part in it')
_QUICK = flags.DEFINE_bool('quick', False, 'a look at each part in minutes; OUT_quick')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'prepared data sets (default: TFDS)')

FLAGFILES = Path(__file__).parent / 'flagfiles'
SHARING = ('sweep', 'train')  # the modules that know a --store_dir and a --data_dir
SHORT = (*SHARING, 'runtime', 'benchmark', 'growth')  # and those that know --quick


def main(argv: Sequence[str]) -> None:
  """Runs the parts; those that fail are named at the end."""
  del argv
  output_dir = arguments.folder('output_dir', _OUTPUT_DIR.value)
  output_dir = cli.quick_folder(output_dir) if _QUICK.value else output_dir
  commands = {part: _command(part, output_dir) for part in _PARTS.value}
  if not commands:
    raise InputError('no parts are given: --parts=table1,figure5, or --flagfile=.../all.flags')
  failed = [part for part in commands if not _run(part, commands[part])]
  report = subprocesses.command('report', [f'--output_dir={output_dir}'])
  if len(failed) < len(commands) and not _run('report', report):
    failed.append('report')
  if failed:
    raise InputError(f'failed: {", ".join(failed)}; what is said above is why')


def _command(part: str, output_dir: Path) -> list[str]:
  """The command in the first line of a part's flagfile, into a folder of its own."""
  path = FLAGFILES / f'{part}.flags'
  if not path.exists():
    raise unknown('part', part, (known.stem for known in FLAGFILES.glob('*.flags')))
  found = re.match(r'# python -m experiments\.(\w+) ', path.read_text(encoding='utf-8'))
  if not found or found[1] == 'reproduce':
    raise InputError(f'{path} is no part: its first line names no command to run')
  module = found[1]
  options = [f'--flagfile={path}', f'--output_dir={output_dir / part}']
  if module in SHARING:
    options += [f'--store_dir={output_dir / "store"}']
    options += [f'--data_dir={_DATA_DIR.value}'] if _DATA_DIR.value else []
  if module in SHORT and _QUICK.value:
    options += ['--quick']
  return subprocesses.command(module, options)


def _run(part: str, line: list[str]) -> bool:
  """Whether the command ended well; it prints for itself.

  Raises:
    Interrupted: if it was asked to stop, or this process was.
  """
  print(f'== {part}', flush=True)
  status = subprocesses.run(line, [{}], patient=())
  if preemption.received() or status in preemption.STOPPED:
    raise preemption.Interrupted
  return status == 0


if __name__ == '__main__':
  cli.run(main, resumes=True)
