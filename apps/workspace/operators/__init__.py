"""What those who run the installation see: `/admin/`, and `/admin/orgs/<slug>/` for one org."""
