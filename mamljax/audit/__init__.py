"""The membership game: trials, decisions, and the metrics of an attack."""
