"""What is kept on disk: run folders, checkpoints and models."""
