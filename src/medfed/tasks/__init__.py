"""Learning problems: data in, model, loss, metrics."""
