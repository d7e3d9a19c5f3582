"""Import from other systems, and export to them."""
