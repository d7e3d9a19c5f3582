"""Evidence for others: the chain behind a version, and the documents that state it."""
