"""People and programs that use a zone: how they prove who they are, and what they may do."""
