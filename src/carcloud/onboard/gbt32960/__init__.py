"""A terminal that speaks GB/T 32960, as a car has one: to try a platform with, ours or another's."""
