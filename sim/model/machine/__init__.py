"""A machine's resources: max-min fair shares in virtual time, their slow twin, and their timer in SimPy."""
