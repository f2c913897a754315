"""One object, byte by byte, and the proof of its copy: whole, streamed or in parts."""
