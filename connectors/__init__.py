"""The vocabulary of messages, and the channels that speak it. ``README.md`` here is the recipe for a new channel."""
