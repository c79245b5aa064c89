"""Metrics: how safe, comfortable and quick an ego was in a motion, recorded or simulated."""

from carcloud.research.metrics.metrics import Metrics, of, progress_of

__all__ = ["Metrics", "of", "progress_of"]
