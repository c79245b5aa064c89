"""The way in for another zone's cars: pages of its flow become batches of vehicles of this zone."""
