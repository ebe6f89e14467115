"""Networks; the only package besides the torch engine that imports torch."""
