"""Security, privacy and integrity of a zone: identity, keys, sealing, signatures.

"Safety" here is not functional safety: nothing in this room claims ISO 26262.
"""
