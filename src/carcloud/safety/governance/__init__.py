"""Governance: which signals may be kept, for what, on which legal basis, and how exactly. No legal advice."""
