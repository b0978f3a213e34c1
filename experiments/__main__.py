"""The command `mamljax`: one name for every command, `mamljax audit --help` for one of them.

`mamljax COMMAND ...` and `python -m experiments.COMMAND ...` are the same.
"""

import os
import site
import sys
from pathlib import Path

from mamljax.errors import unknown

COMMANDS = {
  'audit': 'how much an update of your own model, protocol and data tells, by every attack',
  'update': 'which candidates one received update was computed from',
  'defend': 'which defence guarantees, withstands and costs what, or none of these',
  'sweep': 'the membership game on a grid of cells',
  'status': 'the progress of a sweep',
  'report': 'tables, figures and reconstructions of finished sweeps as one page',
  'train': 'meta-training of the models of a grid',
  'recovery': 'the images of a task, read off one gradient',
  'reproduce': 'every table and figure of the paper',
  'catalogue': 'the list of experiments',
  'prepare_data': 'data sets made ready for sweeps',
  'identifiability': 'the demonstration of Proposition 3.1',
  'runtime': 'the time of an attack against its size',
  'benchmark': 'speed against PyTorch',
  'growth': 'time and memory against sizes',
  'scaling': 'a simulation of a sweep on many machines',
  'launch': 'a sweep on this machine, restarted when it dies',
}


def main() -> None:
  """Runs the command that the first argument names, in the place of this process."""
  arguments = sys.argv[1:]
  if not arguments or arguments[0] in ('--help', '-h', 'help'):
    print(usage())
    return
  if arguments[0] == '--version':
    from mamljax import __version__

    print(__version__)
    return
  name, *rest = arguments
  if name not in COMMANDS:
    print(f'mamljax: {unknown("command", name, COMMANDS)}', file=sys.stderr)
    sys.exit(2)
  _run(name, rest)


def _run(name: str, rest: list[str]) -> None:
  """Replaces this process by a command's.

  -P: a folder named `experiments` where the command is typed is not this package.
  """
  root = str(Path(__file__).parent.parent)
  if root not in site.getsitepackages():  # a clone
    path = os.environ.get('PYTHONPATH')
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [root, path]))
  sys.stdout.flush()
  os.execv(sys.executable, [sys.executable, '-P', '-m', f'experiments.{name}', *rest])


def usage() -> str:
  """The list of the commands."""
  width = max(map(len, COMMANDS))
  lines = [f'  {name:<{width}}  {says}' for name, says in COMMANDS.items()]
  start = ['mamljax COMMAND [--name=value ...]', '', 'Commands:']
  return '\n'.join([*start, *lines, '', 'mamljax COMMAND --help tells the flags of one.'])


if __name__ == '__main__':
  main()
