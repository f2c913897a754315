"""Listing: decide which objects have to be copied, publish these as messages, and record all in the manifest."""
