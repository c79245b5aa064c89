"""The audit log: a Merkle tree in files that anyone can read, with checkpoints that others have countersigned."""
