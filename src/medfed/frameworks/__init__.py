"""The only training loops: a framework behind `medfed.core.task.LocalJob`."""
