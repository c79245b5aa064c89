"""OpenDRIVE: roads read from it, roads written as it."""
