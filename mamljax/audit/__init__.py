"""The membership game: its trials, its decisions and what they add up to."""
