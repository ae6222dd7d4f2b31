"""What a run is asked for: plans, cells, named methods."""
