"""The one reader of tables: CSV, TSV, JSON lines, JSON lists and Parquet, under one set of limits.

Files of metrics, of examples, of evaluation tools and of drift are all read through `formats.open_table`.
"""
