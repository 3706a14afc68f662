"""The pages of policies and of what they decided."""
