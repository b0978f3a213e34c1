"""The operating-system process: command line, signals, several processes as one, and JAX."""
