"""The commands: one cell is one configuration, one grid is one sweep."""

from experiments.process import program, starting

starting.prepare()
if program.about_to_run():
  starting.begin()
