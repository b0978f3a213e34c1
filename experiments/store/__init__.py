"""Everything on disk: finished cells, kept trials, leases, failures, runs."""
