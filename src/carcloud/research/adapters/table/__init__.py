"""Tables of tracks: CSV, Parquet and Feather, by a mapping."""
