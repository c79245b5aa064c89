"""The relay: tells an authority's platform by GB/T 32960 what chosen cars report, however long the link is cut."""
