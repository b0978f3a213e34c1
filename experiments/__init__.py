"""The commands: one cell is one configuration, one grid is one sweep."""

from experiments import output, starting

starting.prepare()
if output.about_to_run():
  starting.begin()
