"""The work: commands, worker processes, parity, speed, training, and the folder each run leaves."""
