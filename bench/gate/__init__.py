"""A gate without a clock: what a message costs in instructions, calls and Redis commands."""
