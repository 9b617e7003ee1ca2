"""The network: described once, built in several frameworks, and computed in float64 as the reference."""
