"""The pages of agents: the list, a new one, and one agent's own."""
