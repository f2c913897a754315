"""Deletes objects at the destination that the source does not have: the only room that deletes a user's objects."""
