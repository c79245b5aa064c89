"""The first door: MQTT 3.1.1 over mutual TLS, kept by the broker, decided here."""
