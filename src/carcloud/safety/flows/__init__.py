"""Flows: what may leave the zone, to which other zone, for what, and how it is changed on the way out."""
