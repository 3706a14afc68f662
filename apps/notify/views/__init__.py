"""The pages of notices: the inbox and its bell, what reaches a member, channels."""
