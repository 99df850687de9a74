"""The ways out, one module per kind of destination; the table of kinds is in `exports.destinations.opening`."""
