"""Simulation: a planner drives the ego of many scenarios at once, against traffic that replays or reacts."""
