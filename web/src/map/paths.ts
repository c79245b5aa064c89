/** The signals that the fleet's map draws; a zone whose catalogue lacks one is asked for the others. */
export const FLEET_PATHS = [
  "Vehicle.CurrentLocation.Latitude",
  "Vehicle.CurrentLocation.Longitude",
  "Vehicle.CurrentLocation.Heading",
  "Vehicle.Speed",
  "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current",
] as const;

export const [LATITUDE, LONGITUDE, HEADING, SPEED, CHARGE] = FLEET_PATHS;
