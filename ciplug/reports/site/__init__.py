"""The pages of a site, and the data that they load. Pure."""
