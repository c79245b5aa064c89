"""The doors outward: HTTP, live events and the console's pages. Decides nothing."""
