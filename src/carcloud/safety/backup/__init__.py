"""Backups: how their pieces are sealed, which keys open them, what a manifest says, and the ledger of erasures."""
