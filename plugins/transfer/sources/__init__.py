"""Which objects there are: S3's listing, an S3 Inventory, a manifest, or an earlier run."""
