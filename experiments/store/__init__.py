"""Files of the experiments: finished cells, saved trials, leases, failures and runs."""
