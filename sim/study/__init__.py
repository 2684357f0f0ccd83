"""Studies: candidates side by side on the same requests, and the decision matrix."""
