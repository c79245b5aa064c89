"""Ever: the governed history of every car, and SQL over it."""
