"""The peers: other ways to take the same batches from the same cars, each measured beside carcloud."""
