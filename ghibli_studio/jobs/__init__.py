"""Training runs as queued processes: queue, worker, lock, status."""
