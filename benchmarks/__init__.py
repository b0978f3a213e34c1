"""What mamljax is measured against: nothing here imports it."""
