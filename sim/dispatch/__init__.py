"""What the model and a replay decide alike, without a clock: what comes when, where it goes, on which machine."""
