"""How fast mamljax is, measured in rounds beside others and against the machine itself."""
