"""Research and development: from drives to scenarios, scenarios to a verdict on a planner, and back to the cars."""
