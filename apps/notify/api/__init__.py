"""`/v1` of notices: the inbox, channels, and what members chose."""
