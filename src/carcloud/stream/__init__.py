"""The governed stream: what a car says passes the guards and stands in a numbered, signed chunk."""
