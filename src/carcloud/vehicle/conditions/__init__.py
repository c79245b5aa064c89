"""Conditions: one language for "when", in the car, over the lake, and over the twin."""
