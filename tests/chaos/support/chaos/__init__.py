"""Faults under load on real processes: what is done (scenarios), who talks and listens meanwhile (people), what they
saw (history), and whether that is what was promised (checker, leftovers)."""
