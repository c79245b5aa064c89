"""CommonRoad: scenarios of the formats 2018b and 2020a."""
