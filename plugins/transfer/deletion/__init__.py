"""The only room that deletes objects of the user's."""
