"""Signed orders: who may order what, the sessions with cars, and the process that alone holds the keys."""
