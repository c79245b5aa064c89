"""The door to the twin that speaks kuksa.val over gRPC. Needs the extra `kuksa`, whose stubs it uses."""
