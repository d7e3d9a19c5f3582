"""A promotion: what a stage requires, the evidence for it, and the event in the registry."""
