"""The queue: pull messages, copy their objects, record the outcomes, acknowledge."""
