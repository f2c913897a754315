"""What a run writes down, and its exact form: messages, manifest, ledger, notes, verdict."""
