"""OpenSCENARIO XML 1.0 to 1.3: scenarios are read by playing their storyboard on their roads."""
