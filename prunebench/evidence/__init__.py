"""What a method may be given, and what it gives back: evidence, scores, selections."""
