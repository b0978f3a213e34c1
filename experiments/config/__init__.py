"""From flags to frozen configurations: what one cell, and a grid of cells, is."""
