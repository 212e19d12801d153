"""What every service of Salon needs and no domain knows: see README.md for the modules."""
