"""The door to the twin that speaks VISS: each car as a server of the Vehicle Information Service Specification."""
