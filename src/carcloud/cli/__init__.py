"""The command line: the door to a zone on this machine."""

from carcloud.cli.menu import app, main

__all__ = ["app", "main"]
