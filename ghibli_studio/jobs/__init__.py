"""Training runs as queued processes: queue, status, lock, worker."""
