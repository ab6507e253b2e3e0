"""octoqueue: an asynchronous task queue with priority lanes and embedded scaling agents."""
