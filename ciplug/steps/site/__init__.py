"""The site: what the store holds, as static pages."""
