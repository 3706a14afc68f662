"""Django REST framework and its schema (being written)."""
