"""Works through the queue: pulls messages, copies their objects, records the outcomes, and acknowledges."""
