"""Between records and rows: columns in order, a record as their values, and back. The same for every engine; only SQL is its own."""
