"""What happened, as values, and how it is written down; who listens is decided elsewhere."""
