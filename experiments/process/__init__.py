"""This operating-system process: command line, signals, several processes as one, JAX."""
