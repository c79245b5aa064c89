"""Collection plans: what a car records, when, how exactly, and how much of it. The same in the car and in the cloud."""
