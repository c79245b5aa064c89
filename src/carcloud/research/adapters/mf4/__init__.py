"""MF4 measurement files of one car."""
