"""Background workers: each a loop over something durable."""
