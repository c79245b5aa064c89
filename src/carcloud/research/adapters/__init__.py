"""Adapters: one folder a format, each with a `reader.py` that knows its files and reads scenarios from them."""
