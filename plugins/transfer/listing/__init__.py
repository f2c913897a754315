"""Which of the objects have to be copied: compared with the destination, published, recorded."""
