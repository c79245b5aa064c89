"""The processes of a zone, one file each, so that each loads only what it needs. Each has `run(context)`."""
