"""Where and in which order the work of a run is done: tasks, one supervisor, several backends."""
