"""Many cells computed by many tasks: queue, worker, coordinator, expected cost."""
