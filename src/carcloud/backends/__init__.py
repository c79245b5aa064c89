"""What we stand on. A vendor's library is imported in its backend file and nowhere else."""
