"""The open smart car cloud. `carcloud.connect(url, token)` is the door for Python programs."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "connect"]


def __getattr__(name: str) -> Any:
    """Load the client on first use: every process of a zone imports this package, few of them need it."""
    if name == "connect":
        from carcloud.client import connect  # noqa: PLC0415

        return connect
    raise AttributeError(f"module 'carcloud' has no attribute {name!r}")
