"""Runs: a planner over many scenarios, on several processes or machines, with results that are kept."""
