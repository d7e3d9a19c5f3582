"""Pure: one model of a report, and its renderings."""
