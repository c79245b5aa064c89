"""The gate: may this planner take the place of that one?"""
