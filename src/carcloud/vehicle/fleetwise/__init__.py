"""What an AWS IoT FleetWise account describes, turned into a catalogue overlay, CAN messages and plans."""
