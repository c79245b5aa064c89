"""The drive of one car: its CAN, its satellite receiver, its inertial sensors."""
