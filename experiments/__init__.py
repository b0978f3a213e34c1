"""The commands: one cell is one configuration, one grid is one sweep."""
