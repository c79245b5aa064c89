"""The link between vehicle and cloud: enrolment, the gate both doors ask, sessions, one folder a protocol."""
