"""ASAM OSI: trace files and what their messages mean."""
