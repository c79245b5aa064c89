"""Builds backends and wires rooms into the processes of a zone; the only place that chooses."""
