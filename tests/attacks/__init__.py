"""Attacks on the store and the registry, each as somebody with the rights that it needs would carry it out."""
