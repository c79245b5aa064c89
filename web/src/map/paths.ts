/** The signals a fleet map needs, in the order it asks for them. */
export const FLEET_PATHS = [
  "Vehicle.CurrentLocation.Latitude",
  "Vehicle.CurrentLocation.Longitude",
  "Vehicle.CurrentLocation.Heading",
  "Vehicle.Speed",
  "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current",
] as const;

export const [LATITUDE, LONGITUDE, HEADING, SPEED, CHARGE] = FLEET_PATHS;
