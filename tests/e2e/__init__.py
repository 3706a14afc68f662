"""The product as a person meets it: served by `make run`, in a real browser."""
