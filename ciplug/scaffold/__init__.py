"""What `ciplug init` stands on: what lies in a project, and the files that fit it."""
