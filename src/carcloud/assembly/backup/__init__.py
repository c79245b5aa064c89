"""Backing a zone up while it runs, and restoring it: `take` and `restore`."""
