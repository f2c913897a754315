"""Finds the objects to copy: from a listing of S3, an S3 Inventory, a manifest of keys, or an earlier run."""
