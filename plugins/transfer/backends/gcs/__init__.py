"""Cloud Storage: writes and verifies objects, lists buckets, and stores the records of a run."""
