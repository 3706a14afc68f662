"""The pages of approvals: the inbox, one request, who must approve what."""
