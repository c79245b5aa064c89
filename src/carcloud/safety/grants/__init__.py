"""Grants: who may see or do what with which cars, until when. Consent is one."""
