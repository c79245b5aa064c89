"""What a car is and says: its signals, its batches. Pure: no I/O, no clock."""
