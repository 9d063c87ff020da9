"""The graphs' nodes, one file each: small functions from a slice of state to a slice of state."""
