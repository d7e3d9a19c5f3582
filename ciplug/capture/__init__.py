"""From a training to facts: logging, the spool, the environment, and the files that a training leaves."""
