"""Configuration: flags, read as frozen cells and grids of cells."""
