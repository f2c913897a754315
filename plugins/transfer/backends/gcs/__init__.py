"""Cloud Storage: objects written and verified, listings, records of a run."""
