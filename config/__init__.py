"""How the product is put together: settings, URLs, processes."""
