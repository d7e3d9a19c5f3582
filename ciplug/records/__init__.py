"""The records: frozen dataclasses with a schema version, and their canonical form as bytes.

Writing needs the standard library only. Reading validates with pydantic (`records.read`), since what
comes back from a store is input like any other.
"""
