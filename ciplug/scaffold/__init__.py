"""The base of `ciplug init`: the files of a project, and the files that fit it."""
