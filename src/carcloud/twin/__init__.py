"""Now: the last known value of every signal of every car."""
