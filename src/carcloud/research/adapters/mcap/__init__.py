"""MCAP files: OSI, Foxglove and ROS 2 messages in chunks."""
