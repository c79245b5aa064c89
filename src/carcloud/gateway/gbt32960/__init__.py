"""The door for terminals that speak GB/T 32960.3, editions 2016 and 2025: admission, sessions, delivery, commands."""
