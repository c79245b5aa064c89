"""Mining: what is known of each road user at each step, as conditions ask about it, and what is found with it."""
