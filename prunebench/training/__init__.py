"""Networks and their training: models, recipes, batches, policies, checkpoints, one loop."""
