"""What to do: pure decisions, and one door through which every change goes."""
