"""How each listed key ended, and whether the run is green."""
