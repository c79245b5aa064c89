"""The software in the car: reads a source, keeps what is not acknowledged, and sends it until it is."""
