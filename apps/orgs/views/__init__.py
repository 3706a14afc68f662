"""The org's pages: projects, members, roles, keys, settings; and the invitation's on the apex."""
