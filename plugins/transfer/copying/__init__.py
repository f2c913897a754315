"""Copies one object and proves the copy: in one request, as a stream, or in parts."""
