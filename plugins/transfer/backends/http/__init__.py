"""libcurl: requests, bodies as streams, many transfers in one thread."""
