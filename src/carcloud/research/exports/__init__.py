"""Exports: one file a format, each with `write(scenarios, folder, about)`."""
