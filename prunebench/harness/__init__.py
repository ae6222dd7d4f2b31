"""What all methods of a run share: the reference trainings, the trials, and what they cost."""
