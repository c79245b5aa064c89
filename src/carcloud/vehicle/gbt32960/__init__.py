"""GB/T 32960.3, the Chinese protocol of electric cars, 2016 and 2025: frames, messages, units, mapping."""
