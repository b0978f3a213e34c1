"""Other implementations that mamljax is timed against; they import nothing of mamljax."""
