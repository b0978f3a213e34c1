"""Sweeps of many cells by many tasks: queue, worker, coordinator, plan and expected cost."""
